package state

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"ashlar/replica/ic"
	"ashlar/replica/state/pages"
)

func genesis() *State {
	return New(Genesis{Time: 7, Subnet: Subnet{
		ID: ic.SubnetID{Principal: "subnet"}, Type: "application", PublicKey: []byte("k"), RootKey: []byte("r"),
		Ranges: []ic.CanisterRange{{First: ic.CanisterIDFromUint64(0), Last: ic.CanisterIDFromUint64(9)}},
	}})
}

// full is a state with something of every kind.
func full() *State {
	d := genesis().Draft()
	d.Head.Height = 3
	code := d.PutCode([]byte("code"))
	page := pages.Page(bytes.Repeat([]byte{9}, pages.Size))
	memory := &Memory{Heap: pages.Map{}.With(1<<16, []pages.Change{{Index: 2, Page: page}}), Stable: pages.Map{}.With(1<<16, []pages.Change{{Index: 1, Page: page}}), Globals: []Global{{Type: 0x7f, Lo: 5}}}
	m := NewModule(Module{Hash: code, Bytes: 4, HasTimer: true, Sections: []Section{{Name: "candid:service", Public: true, Content: []byte("service")}}})
	c := &Canister{ID: ic.CanisterIDFromUint64(1), Module: m, Memory: memory}
	c.Run, c.Cycles, c.Timer, c.Certified = Running, ic.Cycles{Hi: 1, Lo: 2}, 9, []byte("data")
	c.Settings = Settings{Controllers: []ic.Principal{"a"}, LogLimit: 4096, Environment: []Variable{{"n", "v"}}}
	c.HeapBytes, c.StableBytes = 1<<16, 1<<16
	c.Log(5, []byte("line"))
	c.Remember(&Change{Kind: Creation, Controllers: c.Settings.Controllers})
	c.Contexts = c.Contexts.With(ID(0), &CallContext{Origin: Origin{Kind: Ingress, Caller: "u"}, Open: 1})
	c.AddCallback(&Callback{Context: 0, Callee: "callee", Deadline: 12})
	c.Push(&Message{Origin: Origin{Kind: Request, Caller: "x"}, Method: "m"})
	c.Chunks = c.Chunks.With(strings.Repeat("h", 32), NewChunk([]byte("chunk")))
	c.Snapshots = c.Snapshots.With(ID(0), &Snapshot{Module: m, Memory: memory, HeapBytes: 1 << 16, StableBytes: 1 << 16, Globals: memory.Globals, Chunks: c.Chunks})
	d.Put(c)
	d.Enqueue(&Message{Origin: Origin{Kind: Ingress}, Method: "raw_rand"})
	d.SetCall(ic.RequestID{1}, &Call{State: Rejected, Reject: &ic.Reject{Class: 5, Message: "no"}, Expiry: 5})
	d.SetCall(ic.RequestID{2}, &Call{State: Received, Expiry: 5})
	return d.Seal()
}

type entryOf struct {
	key   string
	value []byte
}

func dump(s *State) (out []entryOf) {
	s.Diff(nil, func(k string, v []byte) bool {
		out = append(out, entryOf{k, v})
		return true
	})
	return out
}

func load(list []entryOf) (*State, error) {
	return Load(func(yield func(string, []byte) bool) error {
		for _, e := range list {
			if !yield(e.key, e.value) {
				break
			}
		}
		return nil
	})
}

func TestRoundTrip(t *testing.T) {
	s := full()
	list := dump(s)
	again, err := load(list)
	if err != nil {
		t.Fatal(err)
	}
	if again.Tree().Digest() != s.Tree().Digest() {
		t.Error("another root after loading")
	}
	back := dump(again)
	if fmt.Sprintf("%x", back) != fmt.Sprintf("%x", list) {
		t.Error("other entries after loading")
	}
	d := again.Draft()
	if len(d.Ready()) != 1 || len(d.Due(9)) != 1 || len(d.Due(8)) != 0 || len(d.Expired(12)) != 1 {
		t.Error("the indexes were not made again")
	}
	if c := again.Canister(ic.CanisterIDFromUint64(1)); c.Pending("callee") != 1 {
		t.Error("the open calls were not counted again")
	}
	// A state that goes away takes all its keys along.
	d.Delete(ic.CanisterIDFromUint64(1))
	left := map[string]bool{}
	for _, e := range list {
		left[e.key] = true
	}
	d.Seal().Diff(again, func(k string, v []byte) bool {
		if v == nil {
			delete(left, k)
		}
		return true
	})
	for k := range left {
		if k[0] == 'c' || k[0] == 'w' {
			t.Errorf("key %x is left of a deleted canister", k)
		}
	}
}

func TestStatusIsForgotten(t *testing.T) {
	d := full().Draft()
	d.Forget(callKept)
	if d.Call(ic.RequestID{1}) != nil || d.Call(ic.RequestID{2}) == nil {
		t.Error("the wrong status was forgotten")
	}
}

// Each damage is an error that names the key.
func TestDamage(t *testing.T) {
	for _, c := range []struct {
		name   string
		damage func([]entryOf) []entryOf
		want   string
	}{
		{"empty store", func([]entryOf) []entryOf { return nil }, "holds no state"},
		{"no code", func(l []entryOf) []entryOf { return l[:len(l)-1] }, "module"},
		{"unknown kind", func(l []entryOf) []entryOf { return append(l, entryOf{"zz", nil}) }, "key 7a7a: is of no known kind"},
		{"short page", func(l []entryOf) []entryOf {
			return edit(l, "c", 'h', func(v []byte) []byte { return v[:5] })
		}, "a page has"},
		{"cut record", func(l []entryOf) []entryOf {
			return edit(l, "c", 'r', func(v []byte) []byte { return v[:len(v)/2] })
		}, "EOF"},
		{"no record", func(l []entryOf) []entryOf {
			var out []entryOf
			for _, e := range l {
				if !(e.key[0] == 'c' && e.key[12] == 'r') {
					out = append(out, e)
				}
			}
			return out
		}, "its record is missing"},
	} {
		_, err := load(c.damage(dump(full())))
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", c.name, err, c.want)
		}
	}
}

func edit(l []entryOf, kind string, field byte, f func([]byte) []byte) []entryOf {
	for i, e := range l {
		if e.key[:1] == kind && e.key[12] == field {
			l[i].value = f(e.value)
			break
		}
	}
	return l
}

// Whatever a value is, loading ends without a panic.
func FuzzLoad(f *testing.F) {
	list := dump(full())
	for i, e := range list {
		f.Add(uint8(i), e.value)
	}
	f.Fuzz(func(t *testing.T, at uint8, value []byte) {
		l := append([]entryOf(nil), list...)
		l[int(at)%len(l)].value = value
		_, _ = load(l)
	})
}
