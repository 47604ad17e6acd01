package main

import (
	"context"
	"crypto/rand"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"ashlar/replica/crypto/bls"
	"ashlar/replica/crypto/keystore"
	"ashlar/replica/ic"
	"ashlar/replica/registry"
)

// do runs the command and returns what it says.
func do(t *testing.T, args ...string) string {
	t.Helper()
	out, err := try(args...)
	if err != nil {
		t.Fatalf("network %s: %v", strings.Join(args, " "), err)
	}
	return out
}

func try(args ...string) (string, error) {
	var out strings.Builder
	err := run(context.Background(), args, &out, io.Discard)
	return out.String(), err
}

func view(t *testing.T, dir string) *registry.View {
	t.Helper()
	r, err := registry.Open(dir, t.Logf)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	v, err := r.View(r.Latest(), ic.SubnetID{})
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// Each node finds its keys, all find the same registry, and each can open its share
// of what it names.
func TestNew(t *testing.T) {
	dir := t.TempDir()
	args := []string{"new", "--dir", dir, "--at", "127.0.0.1,127.0.0.2,::1,127.0.0.4", "--p2p", "5000"}
	out := do(t, args...)
	if !regexp.MustCompile(`(?s)^root key [0-9a-f]{266}\n(node [1-4] \S+ \S+:4943\n){4}$`).MatchString(out) {
		t.Errorf("says %q", out)
	}
	var shares []bls.Share
	var group *bls.Group
	for i, at := range []string{"127.0.0.1:5000", "127.0.0.2:5000", "[::1]:5000", "127.0.0.4:5000"} {
		home := filepath.Join(dir, string(rune('1'+i)))
		k, err := keystore.Load(home)
		if err != nil {
			t.Fatal(err)
		}
		v := view(t, home)
		n := v.Index(k.NodeID())
		if n < 0 || v.Nodes[n].P2P != at || v.Group.Threshold != 3 || v.Version != 1 {
			t.Errorf("node %d: index %d, %+v", i, n, v.Nodes)
		}
		if err := k.Load(rand.Reader, v.High); err != nil {
			t.Fatal(err)
		}
		sig, err := k.SignWith(v.High.Hash(), []byte("m"))
		if err != nil {
			t.Fatal(err)
		}
		shares, group = append(shares, bls.Share{Index: n, Signature: sig}), v.Group
	}
	if sig, bad, err := group.Combine([]byte("m"), shares); err != nil || len(bad) > 0 || group.Key.Verify([]byte("m"), sig) != nil {
		t.Errorf("they do not sign together: %v, bad shares %v", err, bad)
	}
	if _, err := try(args...); err == nil || !strings.Contains(err.Error(), "holds a network already") {
		t.Errorf("made twice: %v", err)
	}
}

// nodeThat takes what the command sends, and has the registry of a directory.
func nodeThat(t *testing.T, dir string) (url string, r *registry.Store) {
	t.Helper()
	r, err := registry.Open(dir, t.Logf)
	if err != nil {
		t.Fatal(err)
	}
	mux := http.NewServeMux()
	mux.Handle(registry.Path, r.Handler())
	s := httptest.NewServer(mux)
	t.Cleanup(func() { s.Close(); r.Close() })
	return s.URL, r
}

// The authority's day: a node comes, one goes, a new version, a longer interval.
func TestChanges(t *testing.T) {
	dir := t.TempDir()
	do(t, "new", "--dir", dir, "--nodes", "4")
	url, node := nodeThat(t, filepath.Join(dir, "1"))
	first := view(t, dir).Subnet.Members[0]

	fifth := filepath.Join(t.TempDir(), "fifth")
	out := do(t, "key", "--dir", fifth, "--at", "127.0.0.9")
	name := strings.Fields(out)[1]
	if again := do(t, "key", "--dir", fifth, "--at", "127.0.0.8"); !strings.Contains(again, name) {
		t.Errorf("another name: %s", again)
	}
	do(t, "add", fifth, "--dir", dir, "--offline")
	do(t, "give", fifth, "--dir", dir)
	do(t, "remove", first.String(), "--offline", "--dir", dir)
	do(t, "forget", "--dir", dir, first.String(), "--offline")
	do(t, "version", "0.2", "--dir", dir, "--offline", "--sha256", strings.Repeat("0", 64), "--url", "https://example.com/a,https://example.com/b")
	do(t, "interval", "77", "--dir", dir, "--offline")
	do(t, "halt", "--dir", dir, "--offline")
	if v := view(t, dir); !v.Subnet.HaltAtCUP {
		t.Error("not halted")
	}
	do(t, "resume", "--dir", dir, "--offline")

	if out := do(t, "send", url, "--dir", dir); !strings.Contains(out, "has version 8") || node.Latest() != 8 {
		t.Errorf("says %q, the node has version %d", out, node.Latest())
	}
	v, err := node.View(8, ic.SubnetID{})
	if err != nil {
		t.Fatal(err)
	}
	if i := v.Index(ic.NodeID{Principal: must(t, name)}); i < 0 || v.Nodes[i].P2P != "127.0.0.8:4100" || v.Index(first) >= 0 || len(v.Nodes) != 4 ||
		v.Subnet.Version != "0.2" || v.Subnet.Interval != 77 || v.Subnet.HaltAtCUP {
		t.Errorf("view %+v", v)
	}
	if v := view(t, fifth); v.Version != 2 {
		t.Errorf("the fifth node was given version %d", v.Version)
	}
	if out := do(t, "show", "--dir", dir); !strings.Contains(out, "version 8") || !strings.Contains(out, "node - "+name+" 127.0.0.8:4943") {
		t.Errorf("shows %s", out)
	}
	// Who has none takes the registry from a node.
	copied := filepath.Join(t.TempDir(), "copy")
	do(t, "take", url, "--dir", copied)
	do(t, "take", url, "--dir", copied)
	if v := view(t, copied); v.Version != 8 {
		t.Errorf("took version %d", v.Version)
	}
	// A file does as well as HTTP.
	second := filepath.Join(dir, "2")
	in := filepath.Join(second, registry.IncomingDir)
	if err := os.CopyFS(in, os.DirFS(filepath.Join(dir, "changes"))); err != nil {
		t.Fatal(err)
	}
	r, err := registry.Open(second, t.Logf)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if err := r.TakeDir(second, t.Logf); err != nil || r.Latest() != 8 {
		t.Errorf("version %d, %v", r.Latest(), err)
	}
	// Members that do not answer are named, and the change is signed all the same.
	if out, err := try("interval", "78", "--dir", dir); err == nil || !strings.Contains(err.Error(), "4 of 4 nodes") || !strings.Contains(out, "version 9") {
		t.Errorf("%v, says %q", err, out)
	}
}

// Nodes that made their keys themselves keep them to themselves.
func TestFromRecords(t *testing.T) {
	dir, homes := t.TempDir(), t.TempDir()
	var all []string
	for _, at := range []string{"127.0.0.1", "127.0.0.2"} {
		home := filepath.Join(homes, at)
		do(t, "key", "--dir", home, "--at", at)
		all = append(all, home)
	}
	do(t, "new", "--dir", dir, "--from", strings.Join(all, ","), "--version", "0.7", "--interval", "20")
	do(t, "give", all[1], "--dir", dir)
	if v := view(t, all[1]); len(v.Nodes) != 2 || v.Subnet.Version != "0.7" || v.Subnet.Interval != 20 {
		t.Errorf("%+v", v.Subnet)
	}
	if found, _ := filepath.Glob(dir + "/*/keys"); len(found) > 0 {
		t.Errorf("the authority has %q", found)
	}
}

func must(t *testing.T, text string) ic.Principal {
	t.Helper()
	p, err := ic.ParsePrincipal(text)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestWhatIsRefused(t *testing.T) {
	dir := t.TempDir()
	do(t, "new", "--dir", dir, "--at", "127.0.0.1")
	member := view(t, dir).Subnet.Members[0].String()
	notes := filepath.Join(t.TempDir(), "notes")
	if err := os.WriteFile(notes, []byte("notes"), 0o600); err != nil {
		t.Fatal(err)
	}
	many := strings.Repeat("127.0.0.1,", 40) + "127.0.0.1"
	for _, c := range []struct {
		args string
		says string
	}{
		{"", "say what to do"}, {"old", "say what to do"}, {"new", "want: network new"}, {"new --dir d", "1 to 40 nodes"}, {"new --dir d --at here", "--at"},
		{"new --dir d more --at 127.0.0.1", "want: network new"}, {"new --dir d --at 127.0.0.1 --p2p 70000", "is not a port"}, {"new --dir d --at " + many, "1 to 40 nodes"},
		{"new --dir d --from nowhere", "network key"}, {"new --dir " + dir + "/n --at 127.0.0.1,127.0.0.1", "is already"}, {"new --dir " + dir + "/m --at 127.0.0.1 --interval 3", "interval is 3"},
		{"key --dir " + dir + "/k", "one address"}, {"show --dir d", "holds no network"}, {"add nowhere --dir " + dir, "network key"}, {"add " + notes + " --dir " + dir, "cannot be read"},
		{"add " + dir + "/1 --dir " + dir, "is a member already"}, {"remove x --dir " + dir, "network show"}, {"remove aaaaa-aa --dir " + dir, "is no member"},
		{"remove " + member + " --dir " + dir, "0 members"}, {"forget " + member + " --dir " + dir, "no node record"}, {"forget aaaaa-aa --dir " + dir, "there is no node"},
		{"version dev --dir " + dir, "already"}, {"interval many --dir " + dir, "number of rounds"}, {"interval 2 --dir " + dir, "interval is 2"}, {"give " + dir + "/1 --dir " + dir, "already"},
	} {
		if _, err := try(strings.Fields(c.args)...); err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("network %.60s: %v does not say %q", c.args, err, c.says)
		}
	}
	if v := view(t, dir); v.Version != 1 {
		t.Errorf("version %d", v.Version)
	}
}

// Who is admin of the subnet is a version of the registry; - is nobody.
func TestAdmins(t *testing.T) {
	dir := t.TempDir()
	do(t, "new", "--dir", dir, "--nodes", "1")
	do(t, "admins", "2vxsx-fae,aaaaa-aa", "--dir", dir, "--offline")
	if a := view(t, dir).Subnet.Admins; len(a) != 2 || a[0].String() != "2vxsx-fae" || a[1] != ic.Management {
		t.Errorf("admins are %v", a)
	}
	do(t, "admins", "-", "--dir", dir, "--offline")
	if a := view(t, dir).Subnet.Admins; len(a) != 0 {
		t.Errorf("admins are %v", a)
	}
	for _, bad := range []string{"aaaaa", strings.Repeat("2vxsx-fae,", 101)} {
		if _, err := try("admins", strings.TrimSuffix(bad, ","), "--dir", dir, "--offline"); err == nil {
			t.Errorf("%.20s... may be admins", bad)
		}
	}
}

// So is what canisters pay, and how many of them there may be; consensus reads both.
func TestCostAndCanisters(t *testing.T) {
	dir := t.TempDir()
	do(t, "new", "--dir", dir, "--nodes", "1")
	id := view(t, dir).ID
	reads := func() *registry.Record {
		s, err := registry.Open(dir, t.Logf)
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		r, err := registry.Subnet{Store: s, ID: id}.At(s.Latest())
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	if r := reads(); r.Free || r.MaxCanisters != 0 {
		t.Errorf("a new network: %+v", r)
	}
	do(t, "cost", "free", "--dir", dir, "--offline")
	do(t, "canisters", "1000", "--dir", dir, "--offline")
	if r := reads(); !r.Free || r.MaxCanisters != 1000 {
		t.Errorf("free, with 1000 canisters: %+v", r)
	}
	do(t, "cost", "normal", "--dir", dir, "--offline")
	do(t, "canisters", "0", "--dir", dir, "--offline")
	if r := reads(); r.Free || r.MaxCanisters != 0 {
		t.Errorf("as it was: %+v", r)
	}
	for _, bad := range [][]string{{"cost", "cheap"}, {"canisters", "many"}, {"canisters", "-1"}} {
		if _, err := try(append(bad, "--dir", dir, "--offline")...); err == nil {
			t.Errorf("%v was taken", bad)
		}
	}
}

// Who recovers a subnet must find a state first.
func TestRecoverFromNothing(t *testing.T) {
	dir := t.TempDir()
	do(t, "new", "--dir", dir, "--nodes", "4")
	url, node := nodeThat(t, filepath.Join(dir, "1")) // with a registry, and without a state
	out, err := try("recover", url, "http://127.0.0.1:1", "--dir", dir)
	if err == nil || !strings.Contains(err.Error(), "no node has a state") || len(strings.Split(strings.TrimSpace(out), "\n")) != 2 {
		t.Errorf("%v, says %q", err, out)
	}
	if node.Latest() != 1 {
		t.Error("something was signed")
	}
}
