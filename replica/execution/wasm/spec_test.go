package wasm

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
	"github.com/tetratelabs/wazero/experimental"
)

// The scripts in testdata, and those in the folder that ASHLAR_SPEC names (the
// WebAssembly test suite, which is not ours to carry), run through the pass on
// wazero's compiler and on its interpreter. wabt's wast2json turns them into
// modules and commands.
func TestSpec(t *testing.T) {
	if _, err := exec.LookPath("wast2json"); err != nil {
		t.Skip("wast2json is not installed: apt-get install wabt")
	}
	files, _ := filepath.Glob("testdata/*.wast")
	if len(files) == 0 {
		t.Fatal("no scripts in testdata")
	}
	for dir := range strings.SplitSeq(os.Getenv("ASHLAR_SPEC"), ":") {
		if dir != "" {
			more, _ := filepath.Glob(filepath.Join(dir, "*.wast"))
			made, _ := filepath.Glob(filepath.Join(dir, "*", "*.json")) // by a newer wast2json
			files = append(append(files, more...), made...)
		}
	}
	for _, f := range files {
		t.Run(strings.TrimSuffix(f, "/out.json"), func(t *testing.T) { runScript(t, f) })
	}
}

type script struct {
	Commands []command `json:"commands"`
}

type command struct {
	Type       string    `json:"type"`
	Line       int       `json:"line"`
	Filename   string    `json:"filename"`
	ModuleType string    `json:"module_type"`
	Name       string    `json:"name"`
	As         string    `json:"as"`
	Text       string    `json:"text"`
	Action     action    `json:"action"`
	Expected   []literal `json:"expected"`
}

type action struct {
	Type, Module, Field string
	Args                []literal
}

type literal struct {
	Type     string          `json:"type"`
	LaneType string          `json:"lane_type"`
	Value    json.RawMessage `json:"value"`
}

func runScript(t *testing.T, file string) {
	dir := t.TempDir()
	out := filepath.Join(dir, "out.json")
	if strings.HasSuffix(file, ".json") {
		dir, out = filepath.Dir(file), file
	} else if msg, err := exec.Command("wast2json", "--enable-memory64", "--enable-tail-call", "--enable-extended-const", file, "-o", out).CombinedOutput(); err != nil {
		if strings.HasPrefix(file, "testdata") {
			t.Fatalf("wast2json: %s", msg)
		}
		t.Skipf("wast2json cannot read it: %.200s", msg)
	}
	raw, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	var s script
	if err := json.Unmarshal(raw, &s); err != nil {
		t.Fatal(err)
	}
	for name, config := range engines() {
		t.Run(name, func(t *testing.T) {
			st := newStore(t, config)
			defer st.close()
			for _, c := range s.Commands {
				st.command(dir, c)
			}
			t.Logf("%d checks, %d skipped", st.checks, st.skipped)
		})
	}
}

func engines() map[string]wazero.RuntimeConfig {
	features := api.CoreFeaturesV2 | experimental.CoreFeaturesTailCall | experimental.CoreFeaturesExtendedConst
	return map[string]wazero.RuntimeConfig{
		"compiler":    wazero.NewRuntimeConfigCompiler().WithCoreFeatures(features),
		"interpreter": wazero.NewRuntimeConfigInterpreter().WithCoreFeatures(features),
	}
}

// store is what a script works on.
type store struct {
	t               *testing.T
	ctx             context.Context
	runtime         wazero.Runtime
	last            *instance // nil: the last module was not usable here
	named           map[string]*instance
	all             []*instance
	checks, skipped int
}

type instance struct {
	api.Module
	exports map[string]funcType // of exported functions
}

const plenty = 1 << 60 // instructions

func newStore(t *testing.T, config wazero.RuntimeConfig) *store {
	st := &store{t: t, ctx: context.Background(), named: map[string]*instance{}}
	st.runtime = wazero.NewRuntimeWithConfig(st.ctx, config)
	addOwn(t, st.runtime, st.fill)
	b := st.runtime.NewHostModuleBuilder("spectest host")
	i32, i64, f32, f64 := api.ValueTypeI32, api.ValueTypeI64, api.ValueTypeF32, api.ValueTypeF64
	nothing := api.GoFunc(func(context.Context, []uint64) {})
	for name, params := range map[string][]api.ValueType{"print": {}, "print_i32": {i32}, "print_i64": {i64}, "print_f32": {f32},
		"print_f64": {f64}, "print_i32_f32": {i32, f32}, "print_f64_f64": {f64, f64}} {
		b.NewFunctionBuilder().WithGoFunction(nothing, params, nil).Export(name)
	}
	if _, err := b.Instantiate(st.ctx); err != nil {
		t.Fatal(err)
	}
	if _, err := st.runtime.InstantiateWithConfig(st.ctx, spectestModule(), wazero.NewModuleConfig().WithName("spectest")); err != nil {
		t.Fatal(err)
	}
	return st
}

// addOwn adds the engine's functions: grant is called when the counter is below zero.
func addOwn(t testing.TB, r wazero.Runtime, grant func()) {
	_, err := r.NewHostModuleBuilder(EngineModule).
		NewFunctionBuilder().WithGoFunction(api.GoFunc(func(context.Context, []uint64) { grant() }), nil, nil).Export(ImportOut).
		NewFunctionBuilder().WithGoFunction(api.GoFunc(func(_ context.Context, s []uint64) { s[0] = 1 }),
		[]api.ValueType{api.ValueTypeI32}, []api.ValueType{api.ValueTypeI32}).Export(ImportGrow).
		Instantiate(context.Background())
	if err != nil {
		t.Fatal(err)
	}
}

// spectestModule is the module that the suite's scripts import from.
func spectestModule() []byte {
	b := []byte(header)
	types := []byte{0}
	var imports, exports []byte
	n := 0
	for i, f := range []struct {
		name   string
		params []ValType
	}{{"print", nil}, {"print_i32", []ValType{I32}}, {"print_i64", []ValType{I64}}, {"print_f32", []ValType{F32}}, {"print_f64", []ValType{F64}},
		{"print_i32_f32", []ValType{I32, F32}}, {"print_f64_f64", []ValType{F64, F64}}} {
		types = append(appendTypes(append(types, 0x60), f.params), 0)
		imports = append(appendName(appendName(imports, "spectest host"), f.name), kindFunc, byte(i))
		exports = append(appendName(exports, f.name), kindFunc, byte(i))
		n++
	}
	types[0] = byte(n)
	b = appendSection(b, secType, types)
	b = appendSection(b, secImport, append([]byte{byte(n)}, imports...))
	b = appendSection(b, secTable, []byte{1, byte(FuncRef), 1, 10, 20})
	b = appendSection(b, secMemory, []byte{1, 1, 1, 2})
	b = appendSection(b, secGlobal, append([]byte{4, byte(I32), 0, opI32Const, 0x9a, 5, opEnd, byte(I64), 0, opI64Const, 0x9a, 5, opEnd},
		byte(F32), 0, opF32Const, 0, 0x80, 0x26, 0x44, opEnd, byte(F64), 0, opF64Const, 0, 0, 0, 0, 0, 0xd0, 0x84, 0x40, opEnd))
	for i, name := range []string{"global_i32", "global_i64", "global_f32", "global_f64"} {
		exports = append(appendName(exports, name), kindGlobal, byte(i))
	}
	exports = append(appendName(exports, "table"), kindTable, 0)
	exports = append(appendName(exports, "memory"), kindMemory, 0)
	return appendSection(b, secExport, append([]byte{byte(n + 6)}, exports...))
}

func (st *store) close() { st.runtime.Close(st.ctx) }

func (st *store) fail(c command, format string, args ...any) {
	st.t.Errorf("line %d: %s: %s", c.Line, c.Type, fmt.Sprintf(format, args...))
}

var errNotHere = errors.New("not supported by design")

// load runs a module through the pass and instantiates it. It returns
// errNotHere for what the pass leaves out on purpose, as canisters cannot have it.
func (st *store) load(code []byte, name string) (*instance, error) {
	p, err := prepare(code, options{})
	if err != nil {
		for _, s := range []string{"not supported", "imported global"} {
			if strings.Contains(err.Error(), s) {
				return nil, fmt.Errorf("%w: %w", errNotHere, err)
			}
		}
		return nil, fmt.Errorf("prepare: %w", err)
	}
	m, _ := decode(code)
	compiled, err := st.runtime.CompileModule(st.ctx, p.Code)
	if err != nil {
		return nil, fmt.Errorf("wazero does not take the rewritten module: %w", err)
	}
	ctx := experimental.WithImportResolver(st.ctx, func(name string) api.Module {
		if in := st.named["as "+name]; in != nil {
			return in.Module
		}
		return nil
	})
	mod, err := st.runtime.InstantiateModule(ctx, compiled, wazero.NewModuleConfig().WithName(name).WithStartFunctions())
	if err != nil {
		return nil, err
	}
	in := &instance{Module: mod, exports: map[string]funcType{}}
	for _, e := range m.exports {
		if e.kind == kindFunc {
			in.exports[e.name] = m.typeOf(e.index)
		}
	}
	st.all = append(st.all, in)
	for _, d := range p.Data {
		if !mod.Memory().Write(uint32(d.Offset), d.Bytes) {
			return nil, errors.New("data segment out of bounds")
		}
	}
	if m.start >= 0 {
		if err := st.start(in); err != nil {
			return nil, err
		}
	}
	return in, nil
}

func (st *store) start(in *instance) error {
	st.fill()
	_, err := in.ExportedFunction(exportStart).Call(st.ctx)
	return err
}

// fill gives every instance instructions and stack for one call.
func (st *store) fill() {
	for _, in := range st.all {
		in.ExportedGlobal(ExportCounter).(api.MutableGlobal).Set(plenty)
		in.ExportedGlobal(ExportDepth).(api.MutableGlobal).Set(DepthBudget)
	}
}

func (st *store) command(dir string, c command) {
	read := func() []byte {
		b, err := os.ReadFile(filepath.Join(dir, c.Filename))
		if err != nil {
			st.t.Fatal(err)
		}
		return b
	}
	switch c.Type {
	case "module":
		in, err := st.load(read(), "")
		st.last = in
		if err != nil {
			if !errors.Is(err, errNotHere) {
				st.fail(c, "%v", err)
			}
			st.skipped++
		}
		st.named[c.Name] = in
	case "register":
		in := st.last
		if c.Name != "" {
			in = st.named[c.Name]
		}
		st.named["as "+c.As] = in
	case "assert_invalid", "assert_malformed":
		if c.ModuleType == "text" {
			return
		}
		st.checks++
		if _, err := prepare(read(), options{}); err == nil {
			st.fail(c, "module is accepted, want: %s", c.Text)
		}
	case "assert_unlinkable", "assert_uninstantiable":
		if c.ModuleType == "text" {
			return
		}
		code := read()
		if m, err := decode(code); err == nil && len(m.allTables) > len(m.tables) && strings.Contains(c.Text, "table") {
			_, _ = st.load(code, "") // what it wrote before it failed stays
			st.skipped++             // wazero does not check segments of imported tables; canisters cannot import one
			return
		}
		st.checks++
		if _, err := st.load(code, ""); err == nil {
			st.fail(c, "module is instantiated, want: %s", c.Text)
		}
	case "action", "assert_return", "assert_trap", "assert_exhaustion":
		st.action(c)
	default:
		st.fail(c, "unknown command")
	}
}

func (st *store) action(c command) {
	in := st.last
	if c.Action.Module != "" {
		in = st.named[c.Action.Module]
	}
	if in == nil {
		st.skipped++
		return
	}
	st.checks++
	if c.Action.Type == "get" {
		got := in.ExportedGlobal(c.Action.Field).Get()
		if len(c.Expected) == 1 && !match(c.Expected[0], []uint64{got}) {
			st.fail(c, "global %s is %x, want %s", c.Action.Field, got, c.Expected[0].Value)
		}
		return
	}
	fn := in.ExportedFunction(c.Action.Field)
	if fn == nil {
		st.fail(c, "no function %q", c.Action.Field)
		return
	}
	var args []uint64
	for _, a := range c.Action.Args {
		args = append(args, a.bits()...)
	}
	st.fill()
	got, err := fn.Call(st.ctx, args...)
	switch c.Type {
	case "assert_trap", "assert_exhaustion":
		if err == nil {
			st.fail(c, "%s%v gives %x, want trap: %s", c.Action.Field, args, got, c.Text)
		} else if !sameTrap(err.Error(), c.Text, in) {
			st.fail(c, "%s%v traps with %v, want: %s", c.Action.Field, args, err, c.Text)
		}
		return
	}
	if err != nil {
		st.fail(c, "%s%v: %v", c.Action.Field, args, err)
		return
	}
	for _, e := range c.Expected {
		n := 1
		if e.Type == "v128" {
			n = 2
		}
		if len(got) < n || !match(e, got[:n]) {
			st.fail(c, "%s%x gives %x, want %s %s %s", c.Action.Field, args, got, e.Type, e.LaneType, e.Value)
			return
		}
		got = got[n:]
	}
}

// sameTrap compares wazero's error with the suite's words.
func sameTrap(got, want string, in *instance) bool {
	got, _, _ = strings.Cut(strings.TrimPrefix(got, "wasm error: "), "\n")
	if got == "unreachable" {
		switch in.ExportedGlobal(ExportCause).Get() {
		case causeHeap:
			got = "out of bounds memory access"
		case causeTable:
			got = "invalid table access"
		case causeDepth:
			got = "stack overflow"
		}
		in.ExportedGlobal(ExportCause).(api.MutableGlobal).Set(0)
	}
	for _, pair := range [][2]string{{"invalid table access", "undefined element"}, {"invalid table access", "uninitialized element"},
		{"invalid table access", "undefined"}, {"invalid table access", "out of bounds table access"}, {"stack overflow", "call stack exhausted"}} {
		if got == pair[0] && strings.HasPrefix(want, pair[1]) {
			return true
		}
	}
	return strings.HasPrefix(got, want) || strings.HasPrefix(want, got)
}

func (l literal) text() string {
	var s string
	_ = json.Unmarshal(l.Value, &s)
	return s
}

func (l literal) lanes() (lanes []string, bits int) {
	_ = json.Unmarshal(l.Value, &lanes)
	return lanes, 128 / max(len(lanes), 1)
}

func (l literal) bits() []uint64 {
	switch l.Type {
	case "v128":
		lanes, width := l.lanes()
		var v [2]uint64
		for i, s := range lanes {
			n, _ := strconv.ParseUint(s, 10, 64)
			if strings.HasPrefix(s, "-") {
				sn, _ := strconv.ParseInt(s, 10, 64)
				n = uint64(sn)
			}
			if width < 64 {
				n &= 1<<width - 1
			}
			v[i*width/64] |= n << (i * width % 64)
		}
		return v[:]
	case "externref", "funcref":
		if l.text() == "null" {
			return []uint64{0}
		}
		n, _ := strconv.ParseUint(l.text(), 10, 64)
		return []uint64{n + 1}
	}
	n, err := strconv.ParseUint(l.text(), 10, 64)
	if err != nil {
		sn, _ := strconv.ParseInt(l.text(), 10, 64)
		n = uint64(sn)
	}
	return []uint64{n}
}

func match(l literal, got []uint64) bool {
	if l.Type == "v128" {
		lanes, width := l.lanes()
		for i, s := range lanes {
			lane := got[i*width/64] >> (i * width % 64)
			if width < 64 {
				lane &= 1<<width - 1
			}
			if !matchOne(l.LaneType, s, lane, literal{Type: l.LaneType, Value: json.RawMessage(strconv.Quote(s))}.bits()[0]) {
				return false
			}
		}
		return true
	}
	if l.Type == "funcref" && l.text() == "" {
		return got[0] != 0
	}
	return matchOne(l.Type, l.text(), got[0], l.bits()[0])
}

func matchOne(typ, text string, got, want uint64) bool {
	switch typ {
	case "i8":
		return byte(got) == byte(want)
	case "i16":
		return uint16(got) == uint16(want)
	case "i32":
		return uint32(got) == uint32(want)
	case "f32":
		got = uint64(uint32(got))
		switch text {
		case "nan:canonical":
			return got&0x7fffffff == 0x7fc00000
		case "nan:arithmetic":
			return math.IsNaN(float64(math.Float32frombits(uint32(got)))) && got&0x400000 != 0
		}
		return got == uint64(uint32(want))
	case "f64":
		switch text {
		case "nan:canonical":
			return got&^(1<<63) == 0x7ff8000000000000
		case "nan:arithmetic":
			return math.IsNaN(math.Float64frombits(got)) && got&(1<<51) != 0
		}
	}
	return got == want
}
