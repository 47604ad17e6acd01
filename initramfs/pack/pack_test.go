package pack

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"
	"github.com/u-root/u-root/pkg/cpio"

	"ashlar/image/tree"
)

func sample(t *testing.T) *tree.Tree {
	t.Helper()
	tr := &tree.Tree{}
	for _, e := range []tree.Entry{
		{Path: "init", Mode: 0o755, Data: []byte("#!")},
		{Path: "modules/list", Mode: 0o644, Data: []byte("a.ko\nb.ko\n")},
		{Path: "modules/a.ko", Mode: 0o644, Data: make([]byte, 5001)},
		{Path: "dev/console", Mode: fs.ModeDevice | fs.ModeCharDevice | 0o600, Dev: 5<<8 | 1},
		{Path: "lib", Mode: fs.ModeSymlink | 0o777, Link: "usr/lib"},
		{Path: "empty", Mode: 0o644},
	} {
		if err := tr.Add(e); err != nil {
			t.Fatal(err)
		}
	}
	return tr
}

// u-root's reader is another one's work: what it reads is what we meant.
func TestReadBack(t *testing.T) {
	b, err := Image(sample(t), false)
	if err != nil {
		t.Fatal(err)
	}
	records, err := cpio.ReadAllRecords(cpio.Newc.Reader(bytes.NewReader(b)))
	if err != nil {
		t.Fatal(err)
	}
	list, _ := sample(t).Entries()
	if len(records) != len(list) {
		t.Fatalf("%d records, want %d", len(records), len(list))
	}
	for i, r := range records {
		e := list[i]
		want := e.Data
		if e.Link != "" {
			want = []byte(e.Link)
		}
		got := make([]byte, r.FileSize)
		if len(got) > 0 {
			if _, err := r.ReadAt(got, 0); err != nil {
				t.Error(err)
			}
		}
		if r.Name != e.Path || uint32(r.Mode) != kinds[e.Mode.Type()]|uint32(e.Mode.Perm()) || !bytes.Equal(got, want) || r.UID != 0 || r.MTime != 0 || r.Ino != uint64(i+1) {
			t.Errorf("record %d: %+v, want %+v", i, r.Info, e)
		}
		if e.Dev != 0 && (r.Rmajor != 5 || r.Rminor != 1) {
			t.Errorf("device %d:%d", r.Rmajor, r.Rminor)
		}
	}
}

// The bytes are measured into PCR 9 and 11: a change here changes every prediction.
func TestVector(t *testing.T) {
	for _, c := range []struct {
		compress bool
		want     string
	}{
		{false, "50d53c5e49e3e9a164472a7a9dc2a3d77b53f1f772a6edd27b186274efa98a24"},
		{true, "b75243f588d271c180dc13f386800e5bb3d6394d956a1b487be33fcea4a5130b"},
	} {
		b, err := Image(sample(t), c.compress)
		if err != nil {
			t.Fatal(err)
		}
		sum := sha256.Sum256(b)
		if got := hex.EncodeToString(sum[:]); got != c.want {
			t.Errorf("compress %v: got %s, want %s", c.compress, got, c.want)
		}
	}
}

func TestZstdUnpacks(t *testing.T) {
	plain, err := Image(sample(t), false)
	if err != nil {
		t.Fatal(err)
	}
	packed, err := Image(sample(t), true)
	if err != nil {
		t.Fatal(err)
	}
	dec, err := zstd.NewReader(nil)
	if err != nil {
		t.Fatal(err)
	}
	defer dec.Close()
	if back, err := dec.DecodeAll(packed, nil); err != nil || !bytes.Equal(back, plain) {
		t.Errorf("%d bytes, want %d: %v", len(back), len(plain), err)
	}
	if len(packed) > len(plain)/4 {
		t.Errorf("%d bytes became %d", len(plain), len(packed))
	}
}

func TestRefuses(t *testing.T) {
	tr := &tree.Tree{}
	if err := tr.HostFile("a", 0o644, filepath.Join(t.TempDir(), "missing")); err != nil {
		t.Fatal(err)
	}
	if _, err := Image(tr, false); err == nil || !strings.Contains(err.Error(), "pack /a") {
		t.Errorf("missing file: %v", err)
	}
	full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	if err != nil {
		t.Skip("this system has no /dev/full")
	}
	defer full.Close()
	if err := Cpio(full, sample(t)); err == nil {
		t.Error("a full disk was not noticed")
	}
}
