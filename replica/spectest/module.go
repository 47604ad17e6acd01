package spectest

import (
	"encoding/binary"
)

// module builds a small canister: a WebAssembly module with methods written as
// lists of instructions. It has one memory: data from dataStart, room for
// arguments from scratch.
type module struct {
	data    []byte
	bodies  [][]byte
	exports []export
}

type export struct {
	name string
	body int
}

const (
	dataStart   = 64      // below it lies the counter
	counter     = 8       // address of a u64 that methods count in
	scratch     = 1 << 16 // arguments and certificates are copied to here
	memoryPages = 64      // 4 MiB: room for an argument of 2 MiB
)

// imports are the functions of the system API that our methods use, as
// results and parameters: i for i32, l for i64.
var imports = []struct{ name, params, results string }{
	{"msg_arg_data_size", "", "i"}, {"msg_arg_data_copy", "iii", ""}, {"msg_caller_size", "", "i"}, {"msg_caller_copy", "iii", ""},
	{"msg_reply", "", ""}, {"msg_reply_data_append", "ii", ""}, {"msg_reject", "ii", ""}, {"trap", "ii", ""}, {"debug_print", "ii", ""},
	{"certified_data_set", "ii", ""}, {"data_certificate_present", "", "i"}, {"data_certificate_size", "", "i"}, {"data_certificate_copy", "iii", ""},
	{"stable64_grow", "l", "l"}, {"stable64_write", "lll", ""}, {"stable64_read", "lll", ""}, {"accept_message", "", ""},
	{"canister_self_size", "", "i"}, {"canister_self_copy", "iii", ""}, {"call_new", "iiiiiiii", ""}, {"call_perform", "", "i"},
	{"msg_method_name_size", "", "i"}, {"time", "", "l"}, {"in_replicated_execution", "", "i"},
}

// Instructions.
const (
	opUnreachable = 0x00
	opLoop        = 0x03
	opBranch      = 0x0c
	opIf          = 0x04
	opEnd         = 0x0b
	opDrop        = 0x1a
	opI32Eqz      = 0x45
	opI64Add      = 0x7c
	opI64ExtendU  = 0xad
	typeNone      = 0x40
)

// code is a list of instructions.
type code []byte

func (c code) op(b ...byte) code { return append(c, b...) }

// i32 pushes a constant.
func (c code) i32(n int) code { return append(append(c, 0x41), sleb(int64(n))...) }

// i64 pushes a constant.
func (c code) i64(n int64) code { return append(append(c, 0x42), sleb(n)...) }

// call calls a function of the system API.
func (c code) call(name string) code {
	for i, f := range imports {
		if f.name == name {
			return binary.AppendUvarint(append(c, 0x10), uint64(i))
		}
	}
	panic("spectest: no import " + name)
}

// copied copies argument, caller or certificate to scratch: "msg_arg_data" and so on.
func (c code) copied(what string) code {
	return c.i32(scratch).i32(0).call(what + "_size").call(what + "_copy")
}

// replied replies with what copied copied.
func (c code) replied(what string) code {
	return c.copied(what).i32(scratch).call(what + "_size").call("msg_reply_data_append").call("msg_reply")
}

// replyNumber replies with the eight bytes of the counter.
func (c code) replyNumber() code {
	return c.i32(counter).i32(8).call("msg_reply_data_append").call("msg_reply")
}

// count adds one to the counter.
func (c code) count() code {
	load, store := []byte{0x29, 3, 0}, []byte{0x37, 3, 0}
	return c.i32(counter).i32(counter).op(load...).i64(1).op(opI64Add).op(store...)
}

// text pushes address and length of a constant.
func (m *module) text(c code, s string) code {
	at := dataStart + len(m.data)
	m.data = append(m.data, s...)
	return c.i32(at).i32(len(s))
}

// add exports a function such as "canister_update inc".
func (m *module) add(name string, c code) *module {
	m.exports = append(m.exports, export{name, len(m.bodies)})
	m.bodies = append(m.bodies, c)
	return m
}

// bytes is the module in the binary format of WebAssembly.
func (m *module) bytes() []byte {
	var types, ims, funcs, exps, codes [][]byte
	for i, f := range imports {
		types = append(types, append(append([]byte{0x60}, valueTypes(f.params)...), valueTypes(f.results)...))
		ims = append(ims, append(append(name("ic0"), name(f.name)...), append([]byte{0}, uleb(i)...)...))
	}
	method := len(types)
	types = append(types, []byte{0x60, 0, 0})
	for _, b := range m.bodies {
		funcs = append(funcs, uleb(method))
		body := append(append([]byte{0}, b...), opEnd)
		codes = append(codes, append(uleb(len(body)), body...))
	}
	for _, e := range m.exports {
		exps = append(exps, append(append(name(e.name), 0), uleb(len(imports)+e.body)...))
	}
	data := append(append(append([]byte{0}, code(nil).i32(dataStart).op(opEnd)...), uleb(len(m.data))...), m.data...)
	out := []byte("\x00asm\x01\x00\x00\x00")
	for _, s := range []struct {
		id    byte
		items [][]byte
	}{{1, types}, {2, ims}, {3, funcs}, {5, [][]byte{append([]byte{0}, uleb(memoryPages)...)}}, {7, exps}, {10, codes}, {11, [][]byte{data}}} {
		out = append(out, section(s.id, s.items)...)
	}
	return append(out, m.custom()...)
}

// custom are the sections that read_state shows as metadata.
func (m *module) custom() []byte {
	var out []byte
	for _, s := range [][2]string{{"icp:public spec:public", "shown to all"}, {"icp:private spec:private", "shown to controllers"}} {
		body := append(name(s[0]), s[1]...)
		out = append(append(append(out, 0), uleb(len(body))...), body...)
	}
	return out
}

func section(id byte, items [][]byte) []byte {
	body := uleb(len(items))
	for _, i := range items {
		body = append(body, i...)
	}
	return append(append([]byte{id}, uleb(len(body))...), body...)
}

func valueTypes(s string) []byte {
	out := uleb(len(s))
	for _, c := range s {
		out = append(out, map[rune]byte{'i': 0x7f, 'l': 0x7e}[c])
	}
	return out
}

func name(s string) []byte { return append(uleb(len(s)), s...) }

func uleb(n int) []byte { return binary.AppendUvarint(nil, uint64(n)) }

func sleb(v int64) (out []byte) {
	for {
		b := byte(v & 0x7f)
		v >>= 7
		if v == 0 && b&0x40 == 0 || v == -1 && b&0x40 != 0 {
			return append(out, b)
		}
		out = append(out, b|0x80)
	}
}

// canister is the one that most sections use.
func canister() []byte {
	m := &module{}
	m.add("canister_update echo", code(nil).replied("msg_arg_data"))
	m.add("canister_query ask", code(nil).replied("msg_arg_data"))
	m.add("canister_query caller", code(nil).replied("msg_caller"))
	m.add("canister_update caller_update", code(nil).replied("msg_caller"))
	m.add("canister_query self", code(nil).replied("canister_self"))
	m.add("canister_update inc", code(nil).count().replyNumber())
	m.add("canister_query get", code(nil).replyNumber())
	m.add("canister_query inc_query", code(nil).count().replyNumber())
	m.add("canister_update inc_and_trap", m.text(code(nil).count(), "counted in vain").call("trap"))
	m.add("canister_update reject", m.text(nil, "no").call("msg_reject"))
	m.add("canister_query reject_query", m.text(nil, "no").call("msg_reject"))
	m.add("canister_update trap", m.text(nil, "ouch").call("trap"))
	m.add("canister_update unreachable", code(nil).op(opUnreachable))
	m.add("canister_update silent", code(nil))
	m.add("canister_update twice", code(nil).call("msg_reply").call("msg_reply"))
	m.add("canister_update wild", code(nil).i32(-8).i32(0).i32(1).call("msg_arg_data_copy"))
	m.add("canister_update forever", code(nil).op(opLoop, typeNone, opBranch, 0, opEnd))
	m.add("canister_update certify", code(nil).copied("msg_arg_data").i32(scratch).call("msg_arg_data_size").call("certified_data_set").call("msg_reply"))
	m.add("canister_query certificate", code(nil).replied("data_certificate"))
	m.add("canister_update keep", code(nil).copied("msg_arg_data").i64(1).call("stable64_grow").op(opDrop).
		i64(0).i64(scratch).call("msg_arg_data_size").op(opI64ExtendU).call("stable64_write").call("msg_reply"))
	m.add("canister_query kept", code(nil).i64(scratch).i64(0).i64(4).call("stable64_read").i32(scratch).i32(4).call("msg_reply_data_append").call("msg_reply"))
	m.add("canister_inspect_message", code(nil).call("msg_arg_data_size").i32(666).op(0x47, opIf, typeNone).call("accept_message").op(opEnd))
	return m.bytes()
}
