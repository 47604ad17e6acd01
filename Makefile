# Table of contents. Everything is done by build/cmd/mk, and each target's text is `make help`.
mk = go run ./build/cmd/mk

help:    ; @$(mk) help
setup:   ; @$(mk) setup
build:   ; @$(mk) build
image:   ; @$(mk) image
run:     ; @$(mk) run
check:   ; @$(mk) check
test:    ; @$(mk) test
accept:  ; @$(mk) accept
sim:     ; @$(mk) sim
testnet: ; @$(mk) testnet
repro:   ; @$(mk) repro
bench:   ; @$(mk) bench
release: ; @$(mk) release
pins:    ; @$(mk) pins update
soak:    ; @$(mk) soak
clean:   ; @$(mk) clean

.PHONY: help setup build image run check test accept sim testnet repro bench release pins soak clean
export DEMO PORT ONLY SEED NODES N COUNT STORY FOR NETEM INTERVAL
