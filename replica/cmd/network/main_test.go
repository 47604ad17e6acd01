package main

import (
	"io"
	"path/filepath"
	"strings"
	"testing"

	"ashlar/replica/crypto/keystore"
	"ashlar/replica/ic"
	"ashlar/replica/registry"
)

// Each node finds its keys and all find the same registry.
func TestNew(t *testing.T) {
	dir := t.TempDir()
	args := []string{"new", "--dir", dir, "--at", "127.0.0.1,127.0.0.2,::1,127.0.0.4", "--p2p", "5000"}
	if err := run(args, io.Discard, io.Discard); err != nil {
		t.Fatal(err)
	}
	for i, at := range []string{"127.0.0.1:5000", "127.0.0.2:5000", "[::1]:5000", "127.0.0.4:5000"} {
		home := filepath.Join(dir, string(rune('1'+i)))
		k, err := keystore.Load(home)
		if err != nil {
			t.Fatal(err)
		}
		r, err := registry.Open(home)
		if err != nil {
			t.Fatal(err)
		}
		v, err := r.View(r.Version(), ic.SubnetID{})
		if err != nil {
			t.Fatal(err)
		}
		if n := v.Index(k.NodeID()); n != i || v.Nodes[n].P2P != at || v.Group.Threshold != 3 {
			t.Errorf("node %d: index %d, %+v", i, n, v.Nodes)
		}
	}
	if err := run(args, io.Discard, io.Discard); err == nil || !strings.Contains(err.Error(), "holds a network already") {
		t.Errorf("made twice: %v", err)
	}
}

func TestWhatIsRefused(t *testing.T) {
	many := strings.Repeat("127.0.0.1,", maxNodes) + "127.0.0.1"
	for _, args := range [][]string{{}, {"old"}, {"new"}, {"new", "--dir", "d"}, {"new", "--dir", "d", "--at", "here"}, {"new", "--dir", "d", "--at", "127.0.0.1", "more"},
		{"new", "--dir", "d", "--at", "127.0.0.1", "--p2p", "70000"}, {"new", "--dir", "d", "--at", many}} {
		if err := run(args, io.Discard, io.Discard); err == nil {
			t.Errorf("%q was accepted", args)
		}
	}
}
