package admin

import (
	"net/netip"
	"strings"
	"testing"

	"ashlar/replica/ic"
)

// A subnet that came to a halt goes on from a state, with the keys of its last
// package and their holders as members; not from one that it has left behind.
func TestRecover(t *testing.T) {
	n, err := Found(Founding{Dir: t.TempDir(), At: []netip.Addr{netip.MustParseAddr("127.0.0.1")}, HTTP: 80, P2P: 81, Version: "1", Interval: 50})
	if err != nil {
		t.Fatal(err)
	}
	defer n.Close()
	before, err := n.View()
	if err != nil {
		t.Fatal(err)
	}
	if err := n.Halt(true); err != nil {
		t.Fatal(err)
	}
	r := Recovery{Height: 100, Root: [32]byte{7}, Time: before.Genesis + 9, Low: before.Low, High: before.High}
	if err := n.Recover(r); err != nil {
		t.Fatal(err)
	}
	v, err := n.View()
	if err != nil {
		t.Fatal(err)
	}
	if v.CUP.Recovery == nil || v.CUP.Height != 100 || [32]byte(v.CUP.StateHash) != r.Root || ic.Time(v.CUP.Time) != r.Time || v.Subnet.HaltAtCUP || !v.Group.Key.Equal(before.Group.Key) {
		t.Errorf("%+v", v.CUP)
	}
	r.Height = 99
	if err := n.Recover(r); err == nil || !strings.Contains(err.Error(), "the registry knows height 100") {
		t.Errorf("went back: %v", err)
	}
}
