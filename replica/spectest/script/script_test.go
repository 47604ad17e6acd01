package script

import (
	"testing"

	"ashlar/replica/execution/sysapi"
	"ashlar/replica/execution/wasm"
)

// The module is valid in both widths, and its list of the system API is ours.
func TestModule(t *testing.T) {
	for _, o := range []Options{{}, {Wide: true}, {Heartbeat: true, Inspect: true, Start: Script(nil).Text("x").API("debug_print"), Public: "shown"}} {
		if _, err := wasm.Prepare(Module(o), imports()); err != nil {
			t.Errorf("%+v: %v", o, err)
		}
	}
	ours := map[string]bool{}
	for _, f := range sysapi.Functions() {
		ours[f.Name] = true
	}
	for _, f := range Functions {
		if !ours[f.Name] {
			t.Errorf("the replica has no %s", f.Name)
		}
		delete(ours, f.Name)
	}
	delete(ours, "mint_cycles128") // of the cycles minting canister alone: the specification does not tell of it
	for name := range ours {
		t.Errorf("%s is not in the specification's list", name)
	}
}

func imports() (out []wasm.Import) {
	for _, f := range sysapi.Functions() {
		out = append(out, wasm.Import{Name: f.Name, Params: f.Params, Results: f.Results, Only32: f.Only32})
	}
	return out
}
