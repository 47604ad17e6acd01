package wasm

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"strings"
	"testing"
)

var testImports = []Import{
	{Name: "msg_reply"},
	{Name: "msg_arg_data_copy", Params: []ValType{Addr, Addr, Addr}},
	{Name: "stable64_size", Results: []ValType{I64}},
	{Name: "stable_size", Results: []ValType{I32}, Only32: true},
}

// What the Internet Computer accepts and refuses, and what it says.
func TestRules(t *testing.T) {
	many := func(n int, f string) string {
		var b strings.Builder
		for i := range n {
			b.WriteString(strings.ReplaceAll(f, "#", fmt.Sprint(i)))
		}
		return b.String()
	}
	for _, c := range []struct{ name, module, want string }{ // want "": accepted
		{"empty", ``, ""},
		{"imports", `(import "ic0" "msg_reply" (func)) (import "ic0" "stable_size" (func (result i32)))`, ""},
		{"addresses of a memory of 32 bits", `(import "ic0" "msg_arg_data_copy" (func (param i32 i32 i32))) (memory 1)`, ""},
		{"addresses of a memory of 64 bits", `(import "ic0" "msg_arg_data_copy" (func (param i64 i64 i64))) (memory i64 1)`, ""},
		{"wrong width", `(import "ic0" "msg_arg_data_copy" (func (param i32 i32 i32))) (memory i64 1)`, "Wasm module has an invalid function signature. Expected input params [I64, I64, I64] for 'msg_arg_data_copy', got [I32, I32, I32]."},
		{"legacy import with 64 bits", `(import "ic0" "stable_size" (func (result i32))) (memory i64 1)`, "Wasm module has an invalid import section. Module imports function 'stable_size' from 'ic0' that is not exported by the runtime."},
		{"unknown import", `(import "ic0" "foo" (func))`, "Module imports function 'foo' from 'ic0' that is not exported by the runtime."},
		{"import from elsewhere", `(import "env" "msg_reply" (func))`, `Module imports function "msg_reply" from "env", expected to be imported from one of ["ic0"] instead.`},
		{"import of the engine's", `(import "ashlar" "out_of_instructions" (func))`, "not exported by the runtime"},
		{"imported memory", `(import "env" "memory" (memory 1))`, "importing memories is not allowed"},
		{"imported table", `(import "env" "table" (table 1 funcref))`, "importing tables is not allowed"},
		{"imported global", `(import "env" "g" (global i32))`, "Wasm module has an invalid import section. Importing globals is not allowed."},
		{"entry points", `(func $f) (export "canister_init" (func $f)) (export "canister_update a" (func $f)) (export "canister_query b" (func $f))
			(export "canister_composite_query c" (func $f)) (export "canister_on_low_wasm_memory" (func $f)) (export "other" (func $f)) (start $f)`, ""},
		{"name in two kinds", `(func $f) (export "canister_update a" (func $f)) (export "canister_query a" (func $f))`, "Duplicate function 'a' exported multiple times"},
		{"entry point with a parameter", `(func (export "canister_query a") (param i32))`, "Wasm module has an invalid function signature. Expected input params [] for 'canister_query a', got [I32]."},
		{"entry point with a result", `(func (export "canister_init") (result i32) (i32.const 0))`, "Expected return type [] for 'canister_init', got [I32]."},
		{"reserved prefix", `(func (export "canister_foo"))`, `Wasm module has an invalid export section. Exporting reserved function 'canister_foo' with "canister_" prefix`},
		{"reserved symbol", `(func (export "canister_start"))`, "Exporting reserved symbol canister_start not allowed."},
		{"a memory named like the engine's", `(memory (export "ashlar memory") 1) (func (export "ashlar callback"))`, ""},
		{"1000 methods", many(1000, `(func (export "canister_query #"))`), ""},
		{"1001 methods", many(1001, `(func (export "canister_query #"))`), "or `canister_composite_query <name>` is 1001 which exceeds 1000."},
		{"long names", `(func (export "canister_query ` + strings.Repeat("x", 20000) + `"))`, ""},
		{"names too long", `(func (export "canister_query ` + strings.Repeat("x", 20001) + `"))`, "is 20001 which exceeds the allowed limit of 20000."},
		{"1000 globals", many(1000, `(global i32 (i32.const #))`), ""},
		{"1001 globals", many(1001, `(global i32 (i32.const #))`), "Wasm module defined 1001 globals which exceeds the maximum number allowed 1000."},
		{"globals of references", `(global (mut funcref) (ref.null func))`, "Wasm module has an invalid global section. Unsupported global type: funcref"},
		{"50001 functions", many(50001, `(func)`), "Wasm module defined 50001 functions which exceeds the maximum number allowed 50000."},
		{"two tables", `(table 1 funcref) (table 1 funcref)`, "2 tables"},
		{"a large table", `(table 1000001 funcref)`, "exceeds the maximum number allowed 1000000"},
		{"a memory of 4 GiB", `(memory 65536)`, "65536 pages"},
		{"a memory that may grow to 4 GiB", `(memory 1 65536)`, ""},
		{"a data segment outside", `(memory 1) (data (i32.const 65535) "ab")`, "data segment 0: out of bounds"},
		{"a data segment far outside", `(memory i64 1) (data (i64.const -1) "ab")`, "data segment 0: out of bounds"},
		{"an element segment outside", `(table 1 funcref) (func $f) (elem (i32.const 1) func $f)`, "element segment 0: out of bounds"},
	} {
		t.Run(c.name, func(t *testing.T) {
			p, err := Prepare(compileText(t, `(module `+c.module+`)`), testImports)
			if c.want == "" {
				if err != nil {
					t.Fatalf("refused: %v", err)
				}
				for _, config := range engines() {
					mustInstantiate(t, p, config)
				}
			} else if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Fatalf("error %q, want %q", fmt.Sprint(err), c.want)
			}
		})
	}
}

// The proposals that mainnet takes, and those it does not.
func TestProposals(t *testing.T) {
	const noTable = "Wasm module contains a function at index 0 with unsupported instruction "
	for _, c := range []struct{ flag, name, module, want string }{ // want "": accepted
		{"", "tail calls", `(table 1 funcref) (func $f (return_call $f)) (func (return_call_indirect (i32.const 0)))`, ""},
		{"", "vectors", `(func (drop (i8x16.add (v128.const i64x2 0 0) (v128.const i64x2 0 0))))`, ""},
		{"", "several results", `(func (result i32 i64) (i32.const 1) (i64.const 2))`, ""},
		{"", "sign extension", `(func (drop (i64.extend8_s (i64.const 1))))`, ""},
		{"", "saturating conversion", `(func (drop (i32.trunc_sat_f64_u (f64.const 1))))`, ""},
		{"", "bulk memory", `(memory 1) (data $d "x") (func (memory.copy (i32.const 0) (i32.const 1) (i32.const 2)) (memory.fill (i32.const 0) (i32.const 1) (i32.const 2))
			(memory.init $d (i32.const 0) (i32.const 0) (i32.const 1)) (data.drop $d))`, ""},
		{"", "references", `(table 1 funcref) (elem $e func 0) (func (param externref) (drop (ref.is_null (local.get 0))) (drop (ref.is_null (table.get 0 (i32.const 0)))) (drop (table.size 0)) (elem.drop $e))`, ""},
		{"", "64-bit memory", `(memory i64 1) (func (drop (i64.load (i64.const 0))))`, ""},
		{"", "table.set", `(table 1 funcref) (func (table.set 0 (i32.const 0) (ref.null func)))`, noTable + "table.set."},
		{"", "table.grow", `(table 1 funcref) (func (drop (table.grow 0 (ref.null func) (i32.const 1))))`, noTable + "table.grow."},
		{"", "table.fill", `(table 1 funcref) (func (table.fill 0 (i32.const 0) (ref.null func) (i32.const 1)))`, noTable + "table.fill."},
		{"", "table.copy", `(table 1 funcref) (func (table.copy (i32.const 0) (i32.const 0) (i32.const 1)))`, noTable + "table.copy."},
		{"", "table.init", `(table 1 funcref) (elem $e func 0) (func (table.init $e (i32.const 0) (i32.const 0) (i32.const 1)))`, noTable + "table.init."},
		{"", "arithmetic in a global", `(global i32 (i32.add (i32.const 1) (i32.const 2)))`, "global 0: constant expression required"},
		{"", "arithmetic in an offset", `(memory 1) (data (i32.mul (i32.const 1) (i32.const 2)) "x")`, "data segment 0: constant expression required"},
		{"", "arithmetic in an element's offset", `(table 1 funcref) (elem (i32.sub (i32.const 2) (i32.const 2)) func)`, "element segment 0: constant expression required"},
		{"--enable-multi-memory", "two memories", `(memory 1) (memory 1)`, "multiple memories are not supported"},
		{"--enable-threads", "shared memory", `(memory 1 1 shared)`, "shared memories are not supported"},
		{"--enable-threads", "atomics", `(memory 1) (func (drop (i32.atomic.load (i32.const 0))))`, "threads are not supported"},
		{"--enable-exceptions", "tags", `(tag)`, "exception handling is not supported"},
		{"--enable-exceptions", "imported tags", `(import "a" "b" (tag))`, "exception handling is not supported"},
		{"--enable-exceptions", "try", `(func (try (do) (catch_all)))`, "exception handling is not supported"},
		{"--enable-relaxed-simd", "relaxed vectors", `(func (drop (i8x16.relaxed_swizzle (v128.const i64x2 0 0) (v128.const i64x2 0 0))))`, "relaxed SIMD is not supported"},
		{"--enable-function-references", "typed references", `(type $t (func)) (func (param (ref $t)))`, "unsupported value type"},
		{"--enable-gc", "structures", `(type (struct (field i32)))`, "GC types are not supported"},
	} {
		t.Run(c.name, func(t *testing.T) {
			var flags []string
			if c.flag != "" {
				flags = []string{c.flag}
			}
			_, err := Prepare(compileText(t, `(module `+c.module+`)`, flags...), testImports)
			if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
				t.Errorf("error %v, want %q", err, c.want)
			}
		})
	}
	// Wide arithmetic and pages of other sizes, which wabt does not know.
	for name, code := range map[string][]byte{
		"illegal opcode 0xfc 19":              draft{code: []byte{opI64Const, 0, opI64Const, 0, opI64Const, 0, opI64Const, 0, opPrefixBulk, 0x13, opDrop, opDrop}}.bytes(),
		"custom page sizes are not supported": appendSection([]byte(header), secMemory, []byte{1, 8, 0, 0}),
	} {
		if _, err := Prepare(code, nil); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("error %v, want %s", err, name)
		}
	}
}

func TestErrorsNameTheFunction(t *testing.T) {
	code := draft{code: []byte{opI32Const, 1, opI64Const, 2, opI32Add, opDrop}}.bytes()
	names := appendSection(appendName(nil, "name"), 1, append([]byte{1, 0}, appendName(nil, "bad")...))
	_, err := Prepare(appendSection(code, secCustom, names), nil)
	if want := "function 0 (bad): type mismatch: expected i32, found i64 (at offset 0x23)"; err == nil || err.Error() != want {
		t.Errorf("error %v, want %s", err, want)
	}
}

func section(name string, size int) []byte {
	return appendSection(nil, secCustom, append(appendName(nil, name), make([]byte, size)...))
}

func TestCustomSections(t *testing.T) {
	for _, c := range []struct {
		want     string
		sections [][]byte
	}{
		{"", [][]byte{section("icp:public candid:service", 10), section("icp:private x", 3), section("other", 1<<21), section("icp:public ", 0)}},
		{"name x already exists", [][]byte{section("icp:public x", 1), section("icp:private x", 1)}},
		{"'icp:protected x' has no public/private scope", [][]byte{section("icp:protected x", 1)}},
		{"'icp:' section names must have a space after the public/private scope", [][]byte{section("icp:public", 1)}},
		{"", [][]byte{section("icp:public x", 1<<20-1)}},
		{"total size of the custom sections exceeds", [][]byte{section("icp:public x", 1<<20)}},
		{"17 custom sections", func() (s [][]byte) {
			for i := range 17 {
				s = append(s, section(fmt.Sprint("icp:private ", i), 0))
			}
			return s
		}()},
	} {
		p, err := Prepare(append([]byte(header), bytes.Join(c.sections, nil)...), nil)
		if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("error %v, want %q", err, c.want)
		}
		if err == nil && len(c.sections) > 1 {
			if s := p.Info.Custom["candid:service"]; !s.Public || len(s.Content) != 10 || p.Info.Custom["x"].Public {
				t.Errorf("sections %v", p.Info.Custom)
			}
		}
	}
}

func TestBodyLimits(t *testing.T) {
	body := func(n int, code ...byte) []byte { return draft{code: bytes.Repeat(code, n)}.bytes() }
	for _, c := range []struct {
		code []byte
		want string
	}{
		{body(maxBodyOps-1, opNop), ""},
		{body(maxBodyOps, opNop), "Wasm module contains a function at index 0 of size 1000001 that exceeds the maximum allowed size of 1000000."},
		{body(19_999/2, opBlock, typeEmpty, opEnd), ""},
		{body(20_000, opBlock, typeEmpty, opEnd), "Wasm module contains a function at index 0 with complexity 1000"},
		{draft{locals: make([]ValType, 50_000), code: []byte{opNop}}.locals32(), ""},
		{draft{locals: make([]ValType, 50_001), code: []byte{opNop}}.locals32(), "50001 local groups are more than 50000"},
	} {
		if _, err := Prepare(c.code, nil); c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("error %v, want %q", err, c.want)
		}
	}
}

func (d draft) locals32() []byte {
	for i := range d.locals {
		d.locals[i] = I32
	}
	return d.bytes()
}

func TestUnzip(t *testing.T) {
	pack := func(b []byte) []byte {
		var z bytes.Buffer
		w := gzip.NewWriter(&z)
		_, _ = w.Write(b)
		_ = w.Close()
		return z.Bytes()
	}
	for _, c := range []struct {
		name string
		in   []byte
		want string // length, or part of the error
	}{
		{"plain", []byte("abc"), "3"},
		{"zipped", pack([]byte("abcdef")), "6"},
		{"plain too long", make([]byte, 101), "Wasm module size of 101 exceeds the maximum allowed size of 100."},
		{"a bomb", pack(make([]byte, 1<<20)), "Wasm module size of 1048576 exceeds the maximum allowed size of 100."},
		{"cut short", pack([]byte("abcdef"))[:12], "Failed to decode wasm module: "},
		{"garbage", []byte{0x1f, 0x8b, 0x08, 0xff, 0}, "Failed to decode wasm module: "},
		{"exactly the limit", pack(make([]byte, 100)), "100"},
		{"a length that is not so", append(pack([]byte("abcdef"))[:26], 5, 0, 0, 0), "Failed to decode wasm module: "},
		{"something behind it", append(pack([]byte("abcdef")), make([]byte, 4)...), "does not match extracted size"},
	} {
		out, err := Unzip(c.in, 100)
		got := fmt.Sprint(len(out))
		if err != nil {
			got = err.Error()
		}
		if !strings.Contains(got, c.want) {
			t.Errorf("%s: %s, want %s", c.name, got, c.want)
		}
	}
}

func TestInfo(t *testing.T) {
	p, err := Prepare(compileText(t, `(module (import "ic0" "msg_reply" (func)) (memory i64 2 9) (table 1 funcref) (data (i64.const 8) "abc")
		(global (mut i32) (i32.const 0)) (global i64 (i64.const 0)) (global (mut v128) (v128.const i32x4 0 0 0 0))
		(func $f (nop)) (start $f) (export "canister_update u" (func $f)) (export "canister_query q r" (func $f)) (export "canister_heartbeat" (func $f)))`), testImports)
	if err != nil {
		t.Fatal(err)
	}
	i := p.Info
	if !i.Memory64 || !i.HasHeap || !i.HasStart || !i.Updates["u"] || !i.Queries["q r"] || !i.Lifecycle["canister_heartbeat"] ||
		fmt.Sprint(i.Imports) != "[msg_reply]" || i.Instructions != 2+6+10 || p.MinPages != 2 || p.MaxPages != 9 ||
		len(p.Globals) != 2 || len(p.Data) != 1 || p.Data[0].Offset != 8 || p.MutatesTables || !p.HasTable {
		t.Errorf("%+v %+v", i, p)
	}
}

// Code made to be slow to compile, or to check, is refused in no time; what is as
// large but plain is not.
func TestComplexityIsBounded(t *testing.T) {
	repeat := func(n int, f string) string {
		var b strings.Builder
		for i := range n {
			b.WriteString(strings.ReplaceAll(f, "#", fmt.Sprint(i)))
		}
		return b.String()
	}
	locals := func(n int) string { return repeat(n, "(local i64)") }
	use := func(n int) string { return repeat(n, "(i64.store (i32.const 0) (local.get #))") }
	for _, c := range []struct{ name, body, want string }{
		{"many locals over many ifs", locals(1000) + repeat(1000, "(if (i32.load (i32.const 0)) (then (local.set # (i64.load (i32.const 0)))))") + use(1000), "too many values are alive"},
		{"many locals over few ifs", locals(20000) + repeat(10, "(if (i32.load (i32.const 0)) (then))") + use(20000), "too many values are alive"},
		{"locals over loops", locals(400) + repeat(5000, "(loop (br_if 0 (i32.load (i32.const 0))))") + use(400), "too many values are alive"},
		{"a loop that carries", locals(1000) + "(loop $l " + repeat(1000, "(if (i32.load (i32.const 0)) (then (local.set # (i64.add (local.get #) (local.get 0)))))") + "(br_if $l (i32.load (i32.const 0))))", "too many values are alive"},
		{"operands over ifs", repeat(3000, "(i64.load (i32.const 0))") + repeat(100, "(if (i32.load (i32.const 0)) (then))") + repeat(3000, "(drop)"), "too many values are alive"},
		{"branches to one place", locals(1500) + "(block $b " + repeat(1500, "(local.set # (i64.load (i32.const 0))) (br_if $b (i32.load (i32.const 0)))") + ")" + use(1500), "too many values are alive"},
		{"many locals in a row", locals(20000) + repeat(20000, "(local.set # (i64.const 1))") + use(20000), ""},
		{"many ifs", locals(20) + repeat(9000, "(if (i32.load (i32.const 0)) (then (local.set 3 (i64.const 1))))") + use(20), ""},
		{"a large table of branches", "(block (block (br_table " + repeat(60000, "0 1 ")[:120000] + "(i32.load (i32.const 0)))))", ""},
	} {
		_, err := Prepare(compileText(t, "(module (memory 1) (func "+c.body+"))"), nil)
		if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%s: error %v, want %q", c.name, err, c.want)
		}
	}
	// Calls with a thousand parameters each, in code that is never reached.
	call := draft{params: make([]ValType, 1000), code: append([]byte{opUnreachable}, bytes.Repeat([]byte{opCall, 0}, 19_000)...)}
	for i := range call.params {
		call.params[i] = I64
	}
	body := appendU32(nil, uint32(len(call.code)+2))
	body = append(append(append(body, 0), call.code...), opEnd)
	code := appendSection([]byte(header), secType, append(appendTypes([]byte{1, 0x60}, call.params), 0))
	code = appendSection(code, secFunction, append([]byte{20}, make([]byte, 20)...))
	code = appendSection(code, secCode, append([]byte{20}, bytes.Repeat(body, 20)...))
	if _, err := Prepare(code, nil); err == nil || !strings.Contains(err.Error(), "carry more than") {
		t.Errorf("calls that carry much: error %v", err)
	}
}
