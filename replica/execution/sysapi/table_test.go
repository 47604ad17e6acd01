package sysapi

import (
	"errors"
	"os"
	"strings"
	"testing"

	"ashlar/replica/execution/cycles"
	"ashlar/replica/execution/machine"
	"ashlar/replica/ic"
	"ashlar/replica/state"
)

// specLetters are the specification's names of the contexts, in the order of the bits.
var specLetters = []struct {
	name string
	bit  Context
}{
	{"I", Init}, {"G", PreUpgrade}, {"U", Update}, {"RQ", ReplicatedQuery}, {"NRQ", Query}, {"TQ", Transform}, {"CQ", Composite},
	{"Ry", Reply}, {"Rt", Reject}, {"CRy", CompositeReply}, {"CRt", CompositeReject}, {"C", Cleanup}, {"CC", CompositeClean},
	{"s", Start}, {"F", Inspect}, {"T", Task},
}

// spec reads testdata/imports.txt: the import list of the specification, 0.67.
func spec(t *testing.T) map[string]Context {
	raw, err := os.ReadFile("testdata/imports.txt")
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]Context{}
	for line := range strings.Lines(string(raw)) {
		f := strings.Fields(line)
		if len(f) == 0 || f[0] == "#" {
			continue
		}
		var in Context
		for _, l := range f[1:] {
			bit := Context(0)
			for _, x := range specLetters {
				if x.name == l {
					bit = x.bit
				}
			}
			switch l {
			case "*":
				bit = everywhere - Start
			case "Q":
				bit = ReplicatedQuery | Query
			}
			if bit == 0 {
				t.Fatalf("%s: no context %q", f[0], l)
			}
			in |= bit
		}
		out[f[0]] = in
	}
	return out
}

// fakeCaller is an instance with a heap and no code.
type fakeCaller struct {
	env    *Env
	heap   []byte
	stable []byte
	used   machine.Instructions
	fresh  uint64 // pages that a write dirties
}

func (c *fakeCaller) Env() any     { return c.env }
func (c *fakeCaller) Heap() []byte { return c.heap }
func (c *fakeCaller) Charge(n machine.Instructions) error {
	c.used += n
	if c.used > 1_000_000 {
		return errors.New("instruction limit")
	}
	return nil
}
func (c *fakeCaller) Used() machine.Instructions { return c.used }
func (c *fakeCaller) StableBytes() uint64        { return uint64(len(c.stable)) }
func (c *fakeCaller) StableGrow(n uint64) (uint64, bool) {
	old := c.StableBytes() / wasmPage
	if n > 10 {
		return 0, false
	}
	c.stable = append(c.stable, make([]byte, n*wasmPage)...)
	return old, true
}
func (c *fakeCaller) StableRead(dst []byte, at uint64) error {
	if n := c.StableBytes(); at > n || uint64(len(dst)) > n-at {
		return errors.New("stable bounds")
	}
	copy(dst, c.stable[at:])
	return nil
}
func (c *fakeCaller) StableWrite(at uint64, src []byte) (uint64, error) {
	if n := c.StableBytes(); at > n || uint64(len(src)) > n-at {
		return 0, errors.New("stable bounds")
	}
	copy(c.stable[at:], src)
	return c.fresh, nil
}

func newEnv(ctx Context) *Env {
	now := ic.Time(5)
	e := &Env{
		Context: ctx, Self: ic.CanisterIDFromUint64(1), Caller: "caller", Arg: []byte("argument"), Method: "m", Answers: true,
		Subnet:   &Subnet{ID: ic.SubnetID{Principal: "subnet"}, RootKey: []byte("key"), Costs: cycles.Schedule{Nodes: 13}},
		Settings: &state.Settings{Environment: []state.Variable{{Name: "v", Value: "w"}}}, Certificate: func() []byte { return []byte("cert") },
		Balance: ic.Cycles{Hi: 1}, Available: ic.NewCycles(100), Pending: func(ic.Principal) int { return 0 }, MoreCalls: 1,
	}
	if ctx&(Reject|CompositeReject|Cleanup) != 0 {
		e.Reject = &ic.Reject{Class: ic.CanisterReject, Message: "no"}
	}
	e.Timer = &now
	return e
}

// Each function may be called in exactly the contexts of the specification.
func TestContexts(t *testing.T) {
	want := spec(t)
	seen := map[string]bool{}
	for _, f := range Functions() {
		seen[f.Name] = true
		in, ok := want[f.Name]
		if f.Name == "mint_cycles128" { // for the network's own canister, see TestMinting
			continue
		}
		if !ok {
			t.Errorf("%s is not in the specification's list", f.Name)
			continue
		}
		for _, l := range specLetters {
			c := &fakeCaller{env: newEnv(l.bit), heap: make([]byte, 64)}
			err := f.Call(c, make([]uint64, 8))
			var v *Violation
			refused := errors.As(err, &v) && strings.HasSuffix(v.Text, `" cannot be executed in `+l.bit.String()+` mode`)
			if allowed := in&l.bit != 0; allowed == refused {
				t.Errorf("%s in %s: allowed is %v, want %v (%v)", f.Name, l.name, !refused, allowed, err)
			}
			if size := f.Name == "stable64_size" || f.Name == "stable_size"; (c.used == 0) != size {
				t.Errorf("%s costs %d", f.Name, c.used)
			}
		}
	}
	for name := range want {
		if !seen[name] {
			t.Errorf("%s is missing", name)
		}
	}
}

// No function touches what lies outside of the heap, whatever its arguments.
func TestBounds(t *testing.T) {
	bad := []uint64{0, 1, 64, 65, 1<<32 - 1, 1<<63 - 1, 1<<64 - 1}
	for _, f := range Functions() {
		for _, ctx := range specLetters {
			for _, x := range bad {
				for _, y := range bad {
					c := &fakeCaller{env: newEnv(ctx.bit), heap: make([]byte, 64), stable: make([]byte, 128)}
					stack := make([]uint64, 8)
					for i := range stack {
						stack[i] = x
						if i%2 == 1 {
							stack[i] = y
						}
					}
					_ = f.Call(c, stack) // must not panic
				}
			}
		}
	}
}

func call(t *testing.T, c *fakeCaller, name string, args ...uint64) ([]uint64, error) {
	t.Helper()
	for _, f := range Functions() {
		if f.Name == name {
			stack := append(args, make([]uint64, 8)...)
			err := f.Call(c, stack)
			return stack, err
		}
	}
	t.Fatalf("no function %s", name)
	return nil, nil
}

func TestAnswerOnce(t *testing.T) {
	c := &fakeCaller{env: newEnv(Update), heap: []byte("hello, world")}
	for _, s := range [][]uint64{{0, 5}, {7, 5}} {
		if _, err := call(t, c, "msg_reply_data_append", s...); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := call(t, c, "msg_reply"); err != nil || string(c.env.Answer.Data) != "helloworld" {
		t.Errorf("%+v %v", c.env.Answer, err)
	}
	for _, name := range []string{"msg_reply", "msg_reply_data_append", "msg_reject"} {
		if _, err := call(t, c, name); err == nil {
			t.Errorf("%s after the reply is allowed", name)
		}
	}
	if got, _ := call(t, c, "msg_cycles_available128", 0); got[0] != 0 {
		t.Error("cycles can be accepted after the reply")
	}
}

// Cycles are made by one canister alone.
func TestMinting(t *testing.T) {
	c := &fakeCaller{env: newEnv(Update), heap: make([]byte, 64)}
	before := c.env.Balance
	if _, err := call(t, c, "mint_cycles128", 1, 2, 8); err == nil || !strings.Contains(err.Error(), "ic0.mint_cycles128 cannot be executed on non Cycles Minting Canister") || c.env.Balance != before {
		t.Errorf("another canister: %v", err)
	}
	c.env.Self.Principal, _ = ic.ParsePrincipal("rkp4c-7iaaa-aaaaa-aaaca-cai")
	if _, err := call(t, c, "mint_cycles128", 1, 2, 8); err != nil || c.env.Balance != before.Add(ic.Cycles{Hi: 1, Lo: 2}) || c.heap[8] != 2 || c.heap[16] != 1 {
		t.Errorf("%v, balance %s", err, c.env.Balance)
	}
}

func TestCallBuilding(t *testing.T) {
	c := &fakeCaller{env: newEnv(Update), heap: []byte("callee method argument")}
	for _, name := range []string{"call_data_append", "call_on_cleanup", "call_with_best_effort_response", "call_cycles_add128", "call_perform"} {
		if _, err := call(t, c, name); err == nil {
			t.Errorf("%s without call_new is allowed", name)
		}
	}
	before := c.env.Balance
	steps := []struct {
		name string
		args []uint64
	}{
		{"call_new", []uint64{0, 6, 7, 6, 1, 2, 3, 4}}, {"call_cycles_add128", []uint64{0, 77}}, {"call_data_append", []uint64{14, 8}},
		{"call_on_cleanup", []uint64{5, 6}}, {"call_with_best_effort_response", []uint64{1000}},
	}
	for _, s := range steps {
		if _, err := call(t, c, s.name, s.args...); err != nil {
			t.Fatalf("%s: %v", s.name, err)
		}
	}
	for _, name := range []string{"call_on_cleanup", "call_with_best_effort_response"} {
		if _, err := call(t, c, name, 1, 1); err == nil {
			t.Errorf("%s twice is allowed", name)
		}
	}
	if got, err := call(t, c, "call_perform"); err != nil || got[0] != 0 {
		t.Fatalf("call_perform gives %d, %v", got[0], err)
	}
	made := c.env.Calls[0]
	if made.Callee != "callee" || made.Method != "method" || string(made.Arg) != "argument" || made.Cycles != ic.NewCycles(77) || made.Deadline != MaxTimeout*1e9 {
		t.Errorf("%+v", made)
	}
	spent, _ := before.Sub(c.env.Balance)
	if want := c.env.Subnet.Costs.CallInAll(14, false).Add(ic.NewCycles(77)); spent != want {
		t.Errorf("the call cost %s, want %s", spent, want)
	}
	// Dropped calls give their cycles back.
	before = c.env.Balance
	for _, s := range steps[:2] {
		call(t, c, s.name, s.args...)
	}
	call(t, c, steps[0].name, steps[0].args...)
	c.env.Finish()
	if c.env.Balance != before {
		t.Error("a dropped call kept its cycles")
	}
	// A canister that would be frozen by the call cannot make it.
	c.env.Freezing = c.env.Balance
	call(t, c, steps[0].name, steps[0].args...)
	if got, err := call(t, c, "call_perform"); err != nil || got[0] != callRefused {
		t.Errorf("a frozen canister's call gives %d, %v", got[0], err)
	}
	if _, err := call(t, c, steps[0].name, steps[0].args...); err != nil {
		t.Fatal(err)
	}
	if _, err := call(t, c, "call_cycles_add128", 0, 1); err == nil {
		t.Error("cycles below the freezing threshold were attached")
	}
}
