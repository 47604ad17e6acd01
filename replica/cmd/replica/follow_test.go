package main

import (
	"os"
	"path/filepath"
	"testing"

	"ashlar/replica/ic"
	"ashlar/replica/registry"
	"ashlar/replica/registry/admin"
)

// The authority of a developer's network changes it while the node runs.
func TestChangeOfTheRegistry(t *testing.T) {
	dir, home := t.TempDir(), t.TempDir()
	p := start(t, dir)
	if err := admin.Take(t.Context(), home, p.url); err != nil {
		t.Fatal(err)
	}
	copyFile(t, filepath.Join(dir, registry.AuthorityFile), filepath.Join(home, registry.AuthorityFile))
	n, err := admin.Open(home)
	if err != nil {
		t.Fatal(err)
	}
	defer n.Close()
	if err := n.Interval(60); err != nil {
		t.Fatal(err)
	}
	if err := n.Send(t.Context(), func(url string, version uint64, err error) {
		if version != 2 || err != nil {
			t.Errorf("%s: version %d, %v", url, version, err)
		}
	}, p.url); err != nil {
		t.Error(err)
	}
	if err := p.stop(); err != nil {
		t.Fatal(err)
	}
	r, err := registry.Open(dir, t.Logf)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if v, err := r.View(2, ic.SubnetID{}); err != nil || v.Subnet.Interval != 60 {
		t.Errorf("%+v, %v", v, err)
	}
}

func copyFile(t *testing.T, from, to string) {
	t.Helper()
	data, err := os.ReadFile(from)
	if err == nil {
		err = os.WriteFile(to, data, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
}
