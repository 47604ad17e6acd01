package store

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"ashlar/replica/ic"
	"ashlar/replica/state"
)

// stateWith is a state whose canister has this code, nil: none.
func stateWith(old *state.State, code []byte) *state.State {
	if old == nil {
		old = state.New(state.Genesis{Subnet: state.Subnet{ID: ic.SubnetID{Principal: "s"}}, Time: 1})
	}
	d := old.Draft()
	d.Head.Height++
	c := &state.Canister{ID: ic.CanisterIDFromUint64(1), Memory: &state.Memory{}, Record: state.Record{Run: state.Running}}
	if code != nil {
		c.Module = state.NewModule(state.Module{Hash: d.PutCode(code), Bytes: uint64(len(code))})
	}
	d.Put(c)
	return d.Seal()
}

// A saved module lies in a file of its own, of which nothing depends: it may be lost
// or damaged, and goes with the module.
func TestModules(t *testing.T) {
	dir := t.TempDir()
	code := bytes.Repeat([]byte("module"), minModule/4)
	var now *state.State
	var s *Store
	open := func() {
		t.Helper()
		var err error
		if s, err = Open(dir, Options{}); err != nil {
			t.Fatal(err)
		}
		if now, err = s.LoadState(); err != nil {
			t.Fatal(err)
		}
	}
	files := func() (names []string) {
		list, err := os.ReadDir(filepath.Join(dir, "modules"))
		if err != nil && !os.IsNotExist(err) {
			t.Fatal(err)
		}
		for _, f := range list {
			names = append(names, filepath.Join(dir, "modules", f.Name()))
		}
		return names
	}
	holds := func(want bool) {
		t.Helper()
		c := now.Canister(ic.CanisterIDFromUint64(1))
		got, ok := now.Code(c.Module.Hash)
		if !ok || !bytes.Equal(got, code) {
			t.Fatalf("the code is another one: %d bytes, %v", len(got), ok)
		}
		if (len(files()) == 1) != want {
			t.Fatalf("files of modules: %v", files())
		}
		moved := true
		now.SettleCodes(func([32]byte, []byte) *state.Placed { moved = false; return nil })
		if moved != want {
			t.Errorf("the code lies in a file: %v, want %v", moved, want)
		}
	}
	open()
	next := stateWith(nil, code)
	must(t, s.SaveState(next, nil))
	now = next
	holds(true)
	for what, damage := range map[string]func(name string) error{
		"nothing":      func(string) error { return nil },
		"lost":         os.Remove,
		"short":        func(name string) error { return os.Truncate(name, 5) },
		"changed":      func(name string) error { return os.WriteFile(name, bytes.Repeat([]byte("MODULE"), minModule/4), 0o600) },
		"a stranger's": func(name string) error { return os.WriteFile(name+"0", []byte("x"), 0o600) },
	} {
		must(t, s.Close())
		must(t, damage(files()[0]))
		open()
		if t.Log(what); now == nil {
			t.Fatal("the state is lost")
		}
		holds(true)
	}
	gone := stateWith(now, nil)
	must(t, s.SaveState(gone, now))
	if len(files()) != 0 {
		t.Errorf("the module is gone, its file is not: %v", files())
	}
	small := stateWith(gone, code[:100])
	must(t, s.SaveState(small, gone))
	if len(files()) != 0 {
		t.Errorf("a small module has a file: %v", files())
	}
	must(t, s.Close())
}
