package oracle

import (
	"errors"
	"fmt"

	"ashlar/replica/execution/machine"
	"ashlar/replica/execution/sysapi"
)

// fake is the system that both engines' canisters see: as build/bench/wasmtime
// has it. What is not named here answers zero.
type fake struct{ arg, reply []byte }

var errBounds = errors.New("out of bounds")

var selfID = []byte{0, 0, 0, 0, 0, 0, 0, 1, 1, 1}

type call = func(c machine.Caller, s []uint64) error

func fakeHost() []machine.HostFunc {
	give := func(n uint64) call { return func(_ machine.Caller, s []uint64) error { s[0] = n; return nil } }
	fakes := map[string]call{
		"msg_arg_data_size":   func(c machine.Caller, s []uint64) error { s[0] = uint64(len(c.Env().(*fake).arg)); return nil },
		"msg_arg_data_copy":   func(c machine.Caller, s []uint64) error { return copyOut(c, s, c.Env().(*fake).arg) },
		"msg_caller_size":     give(uint64(len(selfID))),
		"msg_caller_copy":     func(c machine.Caller, s []uint64) error { return copyOut(c, s, selfID) },
		"canister_self_size":  give(uint64(len(selfID))),
		"canister_self_copy":  func(c machine.Caller, s []uint64) error { return copyOut(c, s, selfID) },
		"canister_status":     give(1),
		"time":                give(1_700_000_000_000_000_000),
		"performance_counter": give(0),
		"msg_reply_data_append": func(c machine.Caller, s []uint64) error {
			b, err := heap(c, s[0], s[1])
			f := c.Env().(*fake)
			f.reply = append(f.reply, b...)
			return err
		},
		"trap": func(c machine.Caller, s []uint64) error {
			b, err := heap(c, s[0], s[1])
			return errors.Join(err, fmt.Errorf("trapped explicitly: %s", b))
		},
		"stable64_size": func(c machine.Caller, s []uint64) error { s[0] = c.StableBytes() >> 16; return nil },
		"stable64_grow": func(c machine.Caller, s []uint64) error {
			was, ok := c.StableGrow(s[0])
			if s[0] = was; !ok {
				s[0] = 1<<64 - 1
			}
			return nil
		},
		"stable64_read": func(c machine.Caller, s []uint64) error {
			b, err := heap(c, s[0], s[2])
			if err == nil {
				err = c.StableRead(b, s[1])
			}
			return err
		},
		"stable64_write": func(c machine.Caller, s []uint64) error {
			b, err := heap(c, s[1], s[2])
			if err == nil {
				_, err = c.StableWrite(s[0], b)
			}
			return err
		},
	}
	host := sysapi.Functions()
	for i := range host {
		h := &host[i]
		switch f := fakes[h.Name]; {
		case f != nil:
			h.Call = f
		case len(h.Results) > 0:
			h.Call = give(0)
		default:
			h.Call = func(machine.Caller, []uint64) error { return nil }
		}
	}
	return host
}

func heap(c machine.Caller, at, n uint64) ([]byte, error) {
	h := c.Heap()
	if at > uint64(len(h)) || n > uint64(len(h))-at {
		return nil, errBounds
	}
	return h[at : at+n], nil
}

func copyOut(c machine.Caller, s []uint64, from []byte) error {
	to, err := heap(c, s[0], s[2])
	if err != nil || s[1] > uint64(len(from)) || s[2] > uint64(len(from))-s[1] {
		return errors.Join(err, errBounds)
	}
	copy(to, from[s[1]:])
	return nil
}
