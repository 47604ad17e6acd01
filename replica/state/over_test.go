package state

import (
	"fmt"
	"testing"

	"ashlar/replica/ic"
)

// What Diff says of two states leads from one to the other, whichever is first.
func TestOver(t *testing.T) {
	a := full()
	d := a.Draft()
	d.Head.Height++
	c := *d.Canister(ic.CanisterIDFromUint64(1))
	c.Chunks = c.Chunks.Without(fmt.Sprintf("%032s", "h"))
	c.Memory = &Memory{Heap: c.Memory.Stable, Stable: c.Memory.Heap.WriteAt([]byte("changed"), 3)}
	d.Put(&c)
	d.SetCall(ic.RequestID{0}, &Call{State: Received, Expiry: 5})
	d.SetCall(ic.RequestID{9}, &Call{State: Received, Expiry: 5})
	b := d.Seal()
	for _, pair := range [][2]*State{{a, b}, {b, a}, {a, a}, {nil, b}} {
		got, err := Over(pair[0], func(yield func(string, []byte) bool) error {
			pair[1].Diff(pair[0], yield)
			return nil
		})
		if err != nil || got.Root() != pair[1].Root() {
			t.Errorf("another root: %v", err)
		}
	}
	if _, err := Over(a, func(yield func(string, []byte) bool) error { return fmt.Errorf("the disk is gone") }); err == nil {
		t.Error("an error of the changes is lost")
	}
}
