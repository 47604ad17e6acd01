package state

import (
	"fmt"
	"testing"

	"ashlar/replica/ic"
	"ashlar/replica/state/pages"
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
		got, err := Over(pair[0], func(yield func(Incoming) bool) error {
			more := true
			pair[1].Changes(pair[0], func(key string, value []byte) bool {
				more = more && yield(Incoming{Key: key, Value: value, Gone: value == nil})
				return more
			}, func(key string, old, now pages.Map) bool {
				in := Incoming{Key: key}
				now.Diff(old, func(i uint64, p pages.Page) bool {
					in.Pages = append(in.Pages, pages.Held{Index: i, Page: p})
					return true
				})
				more = more && yield(in)
				return more
			})
			return nil
		})
		if err != nil || got.Root() != pair[1].Root() {
			t.Errorf("another root: %v", err)
		}
	}
	if _, err := Over(a, func(yield func(Incoming) bool) error { return fmt.Errorf("the disk is gone") }); err == nil {
		t.Error("an error of the changes is lost")
	}
}
