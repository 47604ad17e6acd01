package registry

import (
	"crypto/sha256"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"ashlar/replica/crypto/bls"
	"ashlar/replica/ic"
	"ashlar/replica/wire/cbor"
)

func genesis(t *testing.T) (*Store, ic.SubnetID, ic.NodeID) {
	t.Helper()
	g, _, err := bls.Deal(nil, 1, 1)
	if err != nil {
		t.Fatal(err)
	}
	node := ic.NodeID{Principal: "node"}
	s, id, err := Genesis(nil, g, []Node{{PublicKey: []byte("key")}}, []ic.NodeID{node}, "0.1", 77)
	if err != nil {
		t.Fatal(err)
	}
	return s, id, node
}

func TestGenesis(t *testing.T) {
	s, id, node := genesis(t)
	dir := t.TempDir()
	if Exists(dir) {
		t.Error("a new directory has a registry")
	}
	if err := s.Save(dir); err != nil {
		t.Fatal(err)
	}
	s, err := Open(dir)
	if err != nil || !Exists(dir) {
		t.Fatal(err)
	}
	v, err := s.View(1, ic.SubnetID{})
	if err != nil {
		t.Fatal(err)
	}
	if v.ID != id || v.Root != id || v.Index(node) != 0 || v.Index(ic.NodeID{Principal: "x"}) != -1 || string(v.Nodes[0].PublicKey) != "key" || v.Genesis != 77 {
		t.Errorf("view %+v", v)
	}
	first, _ := ic.ParsePrincipal("rwlgt-iiaaa-aaaaa-aaaaa-cai")
	begin, _ := ic.ParsePrincipal("bnz7o-iuaaa-aaaaa-qaaaa-cai")
	if len(v.Ranges) != 2 || v.Ranges[0].First.Principal != first || v.Ranges[1].First.Principal != begin ||
		!v.Ranges[0].Contains(ic.CanisterIDFromUint64(0x2100001)) || v.Ranges[0].Contains(ic.CanisterIDFromUint64(FirstNew)) || v.Ranges[1].Contains(ic.CanisterIDFromUint64(LastNew+1)) {
		t.Errorf("ranges %v", v.Ranges)
	}
	if !v.ID.IsSelfAuthenticating() || v.ID.Principal != ic.SelfAuthenticating(v.Group.Key.DER()) {
		t.Error("the subnet's id is not that of its key")
	}
}

func TestVersions(t *testing.T) {
	s := New()
	for _, c := range [][]Change{{{"k", cbor.Marshal(uint64(1))}}, {{"other", cbor.Marshal(uint64(9))}}, {{"k", cbor.Marshal(uint64(3))}}, {{"k", nil}}} {
		if err := s.Apply(c); err != nil {
			t.Fatal(err)
		}
	}
	for version, want := range []uint64{0, 1, 1, 3, 0} {
		var got uint64
		err := s.Get("k", uint64(version), &got)
		if got != want || errors.Is(err, ErrNone) != (want == 0) {
			t.Errorf("version %d: %d, %v", version, got, err)
		}
	}
	var x uint64
	if err := s.Get("k", 5, &x); err == nil || errors.Is(err, ErrNone) {
		t.Errorf("a version to come: %v", err)
	}
	for name, c := range map[string][]Change{
		"no key": {{"", nil}}, "a long key": {{strings.Repeat("k", maxKeyBytes+1), nil}},
		"a large record": {{"k", make([]byte, maxRecordBytes+1)}}, "a key twice": {{"k", nil}, {"k", nil}},
	} {
		if err := s.Apply(c); err == nil || s.Version() != 4 {
			t.Errorf("%s: %v, version %d", name, err, s.Version())
		}
	}
}

func TestRefused(t *testing.T) {
	s, _, _ := genesis(t)
	dir := t.TempDir()
	if _, err := Open(dir); !errors.Is(err, fs.ErrNotExist) {
		t.Error(err)
	}
	path := filepath.Join(dir, FileName)
	for name, spoil := range map[string]func(d []byte) []byte{
		"a flipped bit":  func(d []byte) []byte { d[len(d)/2] ^= 4; return d },
		"cut":            func(d []byte) []byte { return d[:len(d)-1] },
		"empty":          func(d []byte) []byte { return nil },
		"a newer format": func(d []byte) []byte { d[len(magic)-2]++; return d },
	} {
		if err := s.Save(dir); err != nil {
			t.Fatal(err)
		}
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, spoil(data), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := Open(dir); err == nil || !strings.Contains(err.Error(), path) || !strings.Contains(err.Error(), "backup") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add(cbor.Marshal([][]Change{{{"k", []byte("v")}}}))
	f.Fuzz(func(t *testing.T, body []byte) {
		body = append([]byte(magic), body...)
		sum := sha256.Sum256(body)
		if s, err := Parse(append(body, sum[:]...)); err == nil && s.Version() > maxVersions {
			t.Error("more versions than allowed")
		}
	})
}
