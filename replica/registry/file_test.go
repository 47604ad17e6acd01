package registry

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"ashlar/replica/wire/records"
)

func mute(string, ...any) {}

// saved is a directory with a genesis and two versions, and the content of its file.
func saved(t *testing.T) (tr *trial, dir string, data []byte) {
	t.Helper()
	tr, dir = found(t, 1), t.TempDir()
	if Exists(dir) {
		t.Error("a new directory has a registry")
	}
	s, err := Create(dir, tr.genesis)
	if err != nil {
		t.Fatal(err)
	}
	tr.store = s
	tr.take(upsert("k", &records.Boundary{Version: "1"}))
	tr.take(upsert("k", &records.Boundary{Version: "2"}))
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if data, err = os.ReadFile(filepath.Join(dir, FileName)); err != nil {
		t.Fatal(err)
	}
	return tr, dir, data
}

func TestSaved(t *testing.T) {
	tr, dir, _ := saved(t)
	if _, err := Create(dir, tr.genesis); err == nil || !Exists(dir) {
		t.Error("made over another")
	}
	s, err := Open(dir, t.Logf)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Open(dir, mute); err == nil || !strings.Contains(err.Error(), "is in use") {
		t.Errorf("opened twice: %v", err)
	}
	var r records.Boundary
	if err := s.Get("k", 3, &r); err != nil || r.Version != "2" || s.Latest() != 3 {
		t.Errorf("%q, %v, version %d", r.Version, err, s.Latest())
	}
	one, n := s.Head()
	if two, m := tr.store.Head(); one != two || n != m {
		t.Error("another chain")
	}
}

// The power fails while a version is written, at any byte: the versions before are
// there, and the next one is taken again.
func TestPowerCutAtAnyByte(t *testing.T) {
	tr, dir, data := saved(t)
	path := filepath.Join(dir, FileName)
	third := tr.store.signed[2]
	start := len(data) - around - len(third)
	for end := start; end < len(data); end++ {
		if err := os.WriteFile(path, data[:end], 0o600); err != nil {
			t.Fatal(err)
		}
		said := ""
		s, err := Open(dir, func(format string, args ...any) { said = fmt.Sprintf(format, args...) })
		if err != nil {
			t.Fatalf("cut at %d: %v", end, err)
		}
		if s.Latest() != 2 || (said != "") != (end > start) {
			t.Errorf("cut at %d: version %d, said %q", end, s.Latest(), said)
		}
		if err := errors.Join(s.Take(third), s.Close()); err != nil {
			t.Fatal(err)
		}
		if again, err := os.ReadFile(path); err != nil || !bytes.Equal(again, data) {
			t.Fatalf("cut at %d: another file, %v", end, err)
		}
	}
}

// A byte that changed anywhere is found, and the way back is said.
func TestDamage(t *testing.T) {
	_, dir, data := saved(t)
	path := filepath.Join(dir, FileName)
	for at := 0; at < len(data); at += 1 + at/50 {
		bad := bytes.Clone(data)
		bad[at] ^= 0x40
		if err := os.WriteFile(path, bad, 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := Open(dir, mute); err == nil || !strings.Contains(err.Error(), path) || !strings.Contains(err.Error(), "another node") {
			t.Errorf("byte %d: %v", at, err)
		}
	}
	for says, content := range map[string]string{
		"no signed registry": magic1 + "anything", "not of this format": "x", "has no genesis": magic,
	} {
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := Open(dir, mute); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%s: %v", says, err)
		}
	}
	os.Remove(path)
	if _, err := Open(dir, mute); !errors.Is(err, fs.ErrNotExist) {
		t.Error(err)
	}
}

// Whoever exchanges a version in the file is found by the chain and the signatures.
func TestExchangedVersion(t *testing.T) {
	tr, _, _ := saved(t)
	other := found(t, 1)
	other.take(upsert("k", &records.Boundary{Version: "other"}))
	all := [][]byte{tr.genesis, other.store.signed[1], tr.store.signed[2]}
	if _, _, err := Parse(append([]byte(magic), Join(all)...)); err == nil || !strings.Contains(err.Error(), "another network") {
		t.Error(err)
	}
	if _, _, err := Parse(append([]byte(magic), Join(append(all[:1:1], all[2]))...)); err == nil {
		t.Error("a version is missing")
	}
}

// A disk that fails is not written to again.
func TestFullDisk(t *testing.T) {
	tr, dir, _ := saved(t)
	s, err := Open(dir, mute)
	if err != nil {
		t.Fatal(err)
	}
	tr.store = s
	s.file.Close()
	for range 2 {
		if err := s.Take(tr.sign(upsert("k", &records.Boundary{}))); err == nil || !strings.Contains(err.Error(), "make room") || s.Latest() != 3 {
			t.Errorf("%v, version %d", err, s.Latest())
		}
	}
}

// A node that knows the genesis follows another over HTTP, and takes what the
// authority posts.
func TestFeed(t *testing.T) {
	tr, _, _ := saved(t)
	server := httptest.NewServer(tr.store.Handler())
	defer server.Close()
	follower, err := Create(t.TempDir(), tr.genesis)
	if err != nil {
		t.Fatal(err)
	}
	fetch := func(query string) (int, []byte) {
		t.Helper()
		resp, err := http.Get(server.URL + query)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		var b bytes.Buffer
		b.ReadFrom(resp.Body)
		return resp.StatusCode, b.Bytes()
	}
	_, data := fetch("?since=1")
	if err := follower.TakeAll(data); err != nil || follower.Latest() != 3 {
		t.Errorf("%v, version %d", err, follower.Latest())
	}
	if _, data = fetch("?since=3"); len(data) != 0 {
		t.Errorf("%d bytes of nothing new", len(data))
	}
	if code, _ := fetch("?since=x"); code != http.StatusBadRequest {
		t.Error(code)
	}
	tr.store.file = nil // closed by saved
	post := func(body []byte) (int, string) {
		t.Helper()
		resp, err := http.Post(server.URL, "", bytes.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		buf := new(bytes.Buffer)
		buf.ReadFrom(resp.Body)
		return resp.StatusCode, buf.String()
	}
	good := Join([][]byte{tr.sign(upsert("k", &records.Boundary{}))})
	if code, text := post(good); code != 200 || text != "version 4\n" {
		t.Error(code, text)
	}
	if code, text := post(Join([][]byte{Sign(&records.Mutations{}, 5, [32]byte{})})); code != 422 || !strings.Contains(text, "another network") {
		t.Error(code, text)
	}
	if code, _ := post(good[:len(good)-1]); code != 422 {
		t.Error(code)
	}
	if code, _ := post(make([]byte, maxFeedBytes+1)); code != 422 {
		t.Error(code)
	}
}

// Changes that somebody lays into the directory are taken in order, or put aside.
func TestIncoming(t *testing.T) {
	tr, dir, _ := saved(t)
	s, err := Open(dir, mute)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.TakeDir(dir, mute); err != nil {
		t.Error(err)
	}
	tr.store.file = nil
	tr.take(upsert("k", &records.Boundary{Version: "4"}))
	tr.take(upsert("k", &records.Boundary{Version: "5"}))
	in := filepath.Join(dir, IncomingDir)
	lay := func(name string, data []byte) {
		if err := errors.Join(os.MkdirAll(in, 0o700), os.WriteFile(filepath.Join(in, name), data, 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	lay("2.change", Join(tr.store.signed[4:5]))
	lay("1.change", Join(tr.store.signed[3:4]))
	lay("3.change", []byte("nonsense"))
	lay("4.txt", nil)
	var said []string
	if err := s.TakeDir(dir, func(f string, args ...any) { said = append(said, fmt.Sprintf(f, args...)) }); err != nil || s.Latest() != 5 {
		t.Errorf("%v, version %d", err, s.Latest())
	}
	if len(said) != 3 || !strings.Contains(said[2], "3.change") {
		t.Errorf("said %q", said)
	}
	left, _ := filepath.Glob(in + "/*")
	if len(left) != 2 || filepath.Base(left[0]) != "3.change.refused" {
		t.Errorf("left %q", left)
	}
}

func FuzzParse(f *testing.F) {
	tr := found(f, 1)
	tr.take(upsert("k", &records.Boundary{Version: "1"}))
	f.Add(append([]byte(magic), Join(tr.store.signed)...))
	f.Add([]byte(magic1))
	f.Fuzz(func(t *testing.T, data []byte) {
		if s, whole, err := Parse(data); err == nil && (whole > len(data) || s.Latest() == 0) {
			t.Error("more than there is")
		}
		if all, err := Split(data); err == nil && !bytes.Equal(Join(all), data) {
			t.Error("another form")
		}
	})
}

// FuzzTake lets the authority itself sign anything.
func FuzzTake(f *testing.F) {
	tr := found(f, 1)
	m := &records.Mutations{Mutations: []records.Mutation{upsert(records.KeySubnet(tr.subnet), tr.record()), upsert("k", &records.Boundary{})}}
	f.Add(records.Encode(m))
	f.Add(records.Encode(&records.Mutations{Mutations: tr.handIn(1)}))
	f.Fuzz(func(t *testing.T, raw []byte) {
		var m records.Mutations
		if records.Decode(raw, &m) != nil {
			return
		}
		s := New()
		if err := s.Take(tr.genesis); err != nil {
			t.Fatal(err)
		}
		head, _ := s.Head()
		if err := s.Take(Sign(&m, 2, head, tr.authority)); err != nil && s.Latest() != 1 {
			t.Error("refused, and kept")
		}
	})
}
