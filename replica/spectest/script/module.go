package script

import "encoding/binary"

// Options of the canister.
type Options struct {
	Wide      bool // a 64-bit memory
	Heartbeat bool // exports canister_heartbeat
	Inspect   bool // exports canister_inspect_message
	Start     Script
	Pages     int // memory at the start, if not the usual Pages
	// Public and Private are the contents of the sections icp:public spec and icp:private spec.
	Public, Private string
}

// Module is the canister's WebAssembly.
func Module(o Options) []byte {
	a := &assembler{wide: o.Wide}
	for i := range Functions {
		if f := &Functions[i]; !f.Only32 || !o.Wide {
			a.index = append(a.index, a.imported(f))
		} else {
			a.index = append(a.index, -1)
		}
	}
	void := a.typ("", "")
	callback := a.typ("p", "")
	run := a.fn(a.typ("pp", ""), "pplip", a.interpreter)
	fromArg := a.fn(void, "", func(c *body) {
		c.addr(stackAt).op(0x24, 0)
		c.addr(argAt).addr(0).call(a.api("msg_arg_data_size")).call(a.api("msg_arg_data_copy"))
		c.addr(argAt).addr(argAt).call(a.api("msg_arg_data_size")).add().call(run)
	})
	kept := a.fn(callback, "", func(c *body) {
		c.addr(stackAt).op(0x24, 0)
		c.get(0).addr(8).add().get(0).addr(8).add().get(0).word().add().call(run)
	})
	recurse := a.fn(void, "", func(c *body) { c.call(len(a.imports) + recurseBody) })
	hook := func(n int) int {
		return a.fn(void, "", func(c *body) { c.addr(hooksAt + n*hookBytes).call(kept) })
	}
	a.table = []int{kept, recurse} // the second is of another type than callbacks
	a.export("canister_init", fromArg)
	a.export("canister_post_upgrade", fromArg)
	a.export("canister_update do", fromArg)
	a.export("canister_query ask", fromArg)
	a.export("canister_composite_query compose", fromArg)
	a.export("canister_global_timer", hook(Timer))
	a.export("canister_on_low_wasm_memory", hook(LowMemory))
	a.export("canister_pre_upgrade", hook(PreUpgrade))
	if o.Heartbeat {
		a.export("canister_heartbeat", hook(Heartbeat))
	}
	if o.Inspect {
		a.export("canister_inspect_message", hook(Inspect))
	}
	if o.Start != nil {
		a.data = o.Start
		a.start = a.fn(void, "", func(c *body) { c.addr(argAt).addr(argAt + len(o.Start)).call(run) })
	}
	return a.bytes(o)
}

// assembler collects the parts of a module. Functions are numbered from the
// imports on.
type assembler struct {
	wide    bool
	types   []string
	imports []string // name, and its type's number
	bodies  [][]byte
	kinds   []int // types of bodies
	exports []string
	exposed []int
	index   []int // of Functions
	table   []int
	start   int
	data    []byte
}

// typ is the number of a function type; p is the width of the memory.
func (a *assembler) typ(params, results string) int {
	t := string(append(append([]byte{0x60}, a.vals(params)...), a.vals(results)...))
	for i, x := range a.types {
		if x == t {
			return i
		}
	}
	a.types = append(a.types, t)
	return len(a.types) - 1
}

func (a *assembler) vals(s string) []byte {
	out := uleb(len(s))
	for _, l := range s {
		out = append(out, a.val(l))
	}
	return out
}

func (a *assembler) val(l rune) byte {
	if l == 'l' || l == 'p' && a.wide {
		return 0x7e
	}
	return 0x7f
}

func (a *assembler) imported(f *Function) int {
	raw := append(append(name("ic0"), name(f.Name)...), append([]byte{0}, uleb(a.typ(f.Params, f.Results))...)...)
	a.imports = append(a.imports, string(raw))
	return len(a.imports) - 1
}

func (a *assembler) api(n string) int {
	for i := range Functions {
		if Functions[i].Name == n {
			return a.index[i]
		}
	}
	panic("script: no function " + n)
}

// fn adds a function whose locals, parameters included, have the given types.
func (a *assembler) fn(typ int, locals string, write func(c *body)) int {
	c := &body{a: a}
	write(c)
	params := 0
	if len(locals) > 0 {
		params = 2
	}
	out := uleb(max(len(locals)-params, 0))
	for _, l := range locals[min(params, len(locals)):] {
		out = append(out, 1, a.val(l))
	}
	out = append(append(out, c.code...), 0x0b)
	a.bodies, a.kinds = append(a.bodies, out), append(a.kinds, typ)
	return len(a.imports) + len(a.bodies) - 1
}

func (a *assembler) export(n string, fn int) {
	a.exports, a.exposed = append(a.exports, n), append(a.exposed, fn)
}

func (a *assembler) bytes(o Options) []byte {
	pages := Pages
	if o.Pages > 0 {
		pages = o.Pages
	}
	items := func(n int, one func(i int) []byte) (out [][]byte) {
		for i := range n {
			out = append(out, one(i))
		}
		return out
	}
	limits := byte(0)
	if o.Wide {
		limits = 4
	}
	entries := append((&body{a: a}).i32(0).code, 0x0b)
	entries = append(append([]byte{0}, entries...), uleb(len(a.table))...)
	for _, f := range a.table {
		entries = append(entries, uleb(f)...)
	}
	out := []byte("\x00asm\x01\x00\x00\x00")
	out = append(out, section(1, items(len(a.types), func(i int) []byte { return []byte(a.types[i]) }))...)
	out = append(out, section(2, items(len(a.imports), func(i int) []byte { return []byte(a.imports[i]) }))...)
	out = append(out, section(3, items(len(a.bodies), func(i int) []byte { return uleb(a.kinds[i]) }))...)
	out = append(out, section(4, [][]byte{append([]byte{0x70, 0}, uleb(len(a.table))...)})...)
	out = append(out, section(5, [][]byte{append([]byte{limits}, uleb(pages)...)})...)
	sp := append(append([]byte{a.val('p'), 1}, (&body{a: a}).addr(stackAt).code...), 0x0b)
	out = append(out, section(6, [][]byte{sp})...)
	out = append(out, section(7, items(len(a.exports), func(i int) []byte {
		return append(append(name(a.exports[i]), 0), uleb(a.exposed[i])...)
	}))...)
	if a.start != 0 {
		n := uleb(a.start)
		out = append(append(append(out, 8), uleb(len(n))...), n...)
	}
	out = append(out, section(9, [][]byte{entries})...)
	out = append(out, section(10, items(len(a.bodies), func(i int) []byte { return append(uleb(len(a.bodies[i])), a.bodies[i]...) }))...)
	segment := append(append([]byte{0}, (&body{a: a}).addr(argAt).code...), 0x0b)
	out = append(out, section(11, [][]byte{append(append(segment, uleb(len(a.data))...), a.data...)})...)
	for _, s := range [][2]string{{"icp:public spec", o.Public}, {"icp:private spec", o.Private}} {
		if s[1] != "" {
			raw := append(name(s[0]), s[1]...)
			out = append(append(append(out, 0), uleb(len(raw))...), raw...)
		}
	}
	return out
}

func section(id byte, items [][]byte) []byte {
	raw := uleb(len(items))
	for _, i := range items {
		raw = append(raw, i...)
	}
	return append(append([]byte{id}, uleb(len(raw))...), raw...)
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
