module peers/wasmtime

go 1.26.8

require (
	github.com/bytecodealliance/wasmtime-go/v37 v37.0.0
	golang.org/x/sys v0.50.0
)
