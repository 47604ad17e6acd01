package verity

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// file has this many blocks of data that no two blocks share.
func file(t testing.TB, blocks int) *os.File {
	t.Helper()
	f, err := os.Create(filepath.Join(t.TempDir(), "data"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	b := make([]byte, 0, blocks*BlockSize)
	for i := range blocks {
		s := sha256.Sum256([]byte{byte(i), byte(i >> 8), byte(i >> 16)})
		b = append(b, bytes.Repeat(s[:], BlockSize/len(s))...)
	}
	if _, err := f.Write(b); err != nil {
		t.Fatal(err)
	}
	return f
}

// Around the borders of one hash block, two chunks, two and three levels.
var counts = []int{1, 2, 127, 128, 129, 255, 256, 257, 1000, 128*128 + 1}

func TestSameAsVeritysetup(t *testing.T) {
	tool, err := exec.LookPath("veritysetup")
	if err != nil {
		t.Skip("veritysetup is missing: apt-get install cryptsetup-bin")
	}
	for _, n := range counts {
		f, g := file(t, n), file(t, n)
		root, sb, err := Append(f, int64(n)*BlockSize)
		if err != nil {
			t.Fatal(err)
		}
		u := hex.EncodeToString(sb.UUID[:])
		out, err := exec.Command(tool, "format", g.Name(), g.Name(), "--hash-offset", fmt.Sprint(n*BlockSize), "--data-blocks", fmt.Sprint(n),
			"--salt", hex.EncodeToString(sb.Salt), "--uuid", u[:8]+"-"+u[8:12]+"-"+u[12:16]+"-"+u[16:20]+"-"+u[20:]).CombinedOutput()
		if err != nil {
			t.Fatalf("%d blocks: %v\n%s", n, err, out)
		}
		if !strings.Contains(string(out), root.String()) {
			t.Errorf("%d blocks: root hash %s, and veritysetup says\n%s", n, root, out)
		}
		a, _ := os.ReadFile(f.Name())
		b, _ := os.ReadFile(g.Name())
		if pad := len(a) - len(b); pad > 0 { // veritysetup leaves out the end of a superblock with no tree
			b = append(b, make([]byte, pad)...)
		}
		if !bytes.Equal(a, b) {
			t.Errorf("%d blocks: the files differ", n)
		}
		if int64(len(a)) != TotalBytes(uint64(n)) {
			t.Errorf("%d blocks: %d bytes, TotalBytes says %d", n, len(a), TotalBytes(uint64(n)))
		}
		out, err = exec.Command(tool, "verify", f.Name(), f.Name(), root.String(), "--hash-offset", fmt.Sprint(n*BlockSize)).CombinedOutput()
		if err != nil {
			t.Errorf("%d blocks: veritysetup verify: %v\n%s", n, err, out)
		}
	}
}

// The root hash of known data: who changes it changes every release.
func TestVector(t *testing.T) {
	root, _, err := Append(file(t, 257), 257*BlockSize)
	if err != nil {
		t.Fatal(err)
	}
	if want := "ba185fbc7b7ac9d763b0be8c51609cc3a3b209e584ea1aa8786937a275a18cdb"; root.String() != want {
		t.Errorf("got %s, want %s", root, want)
	}
}

func TestCheckFindsEveryChange(t *testing.T) {
	const n = 300
	f := file(t, n)
	root, _, err := Append(f, n*BlockSize)
	if err != nil {
		t.Fatal(err)
	}
	if err := CheckAll(f, n, root); err != nil {
		t.Fatalf("untouched: %v", err)
	}
	if again, err := ParseRoot(root.String()); again != root || err != nil {
		t.Errorf("ParseRoot: %v %v", again, err)
	}
	for _, c := range []struct {
		at   int64
		want string
	}{
		{0, "data block 0 was"}, {299*BlockSize + 4095, "data block 299 was"}, {130 * BlockSize, "data block 130 was"},
		{302*BlockSize + 5, "tree block 302 was"}, {304*BlockSize + 4000, "tree block 304 was"}, // the last one's padding
		{301 * BlockSize, "has a root hash"}, {300*BlockSize + 90, "has a root hash"}, // top; salt
		{300 * BlockSize, "no verity superblock"}, {300*BlockSize + 72, "of 301 data blocks"}, {300*BlockSize + 33, "only sha256"}, {300*BlockSize + 81, "salt of"}, {300*BlockSize + 12, "hash type"},
	} {
		flip(t, f, c.at)
		if err := CheckAll(f, n, root); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("byte %d changed: got %v, want an error with %q", c.at, err, c.want)
		}
		flip(t, f, c.at)
	}
	if _, err := Check(f, n-1, root); !errors.Is(err, ErrNone) {
		t.Errorf("other block count: %v", err)
	}
	if _, err := Check(f, 1<<41, root); err == nil {
		t.Error("2^41 blocks were accepted")
	}
	other := root
	other[31]++
	if _, err := Check(f, n, other); err == nil {
		t.Error("another root hash was accepted")
	}
}

func flip(t *testing.T, f *os.File, at int64) {
	t.Helper()
	b := []byte{0}
	if _, err := f.ReadAt(b, at); err != nil {
		t.Fatal(err)
	}
	b[0] ^= 1
	if _, err := f.WriteAt(b, at); err != nil {
		t.Fatal(err)
	}
}

func TestRefuses(t *testing.T) {
	for _, size := range []int64{0, -4096, 1000} {
		if _, _, err := Append(file(t, 1), size); err == nil {
			t.Errorf("%d bytes were accepted", size)
		}
	}
	if _, _, err := Append(file(t, 1), 2*BlockSize); err == nil {
		t.Error("more data than there is was accepted")
	}
	for _, s := range []string{"", "00", strings.Repeat("g", 64)} {
		if _, err := ParseRoot(s); err == nil {
			t.Errorf("root hash %q was accepted", s)
		}
	}
}

func FuzzSuperblock(f *testing.F) {
	f.Add(Superblock{DataBlocks: 1, Salt: make([]byte, 32)}.encode())
	f.Fuzz(func(t *testing.T, b []byte) {
		_, _ = Check(bytes.NewReader(append(make([]byte, BlockSize), b...)), 1, Root{})
	})
}

func BenchmarkAppend(b *testing.B) {
	const n = 25600
	f := file(b, n)
	b.SetBytes(n * BlockSize)
	for b.Loop() {
		if _, _, err := Append(f, n*BlockSize); err != nil {
			b.Fatal(err)
		}
	}
}
