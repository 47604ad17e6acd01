package ram

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// The disk does what pebble's own one in memory does, through random operations and
// power cuts.
func TestAsMemFS(t *testing.T) {
	for seed := range uint64(60) {
		r := rand.New(rand.NewPCG(seed, 0))
		var want, got vfs.FS = vfs.NewCrashableMem(), New()
		open := map[string][2]vfs.File{} // files that are being written
		for step := range 300 {
			name, other := fmt.Sprintf("d%d/f%d", r.IntN(2), r.IntN(4)), fmt.Sprintf("d%d/f%d", r.IntN(2), r.IntN(4))
			var errs [2]error
			both := func(do func(fs vfs.FS) error) { errs = [2]error{do(want), do(got)} }
			opened := func(do func(fs vfs.FS) (vfs.File, error)) {
				var f [2]vfs.File
				f[0], errs[0] = do(want)
				f[1], errs[1] = do(got)
				if errs[0] == nil && errs[1] == nil {
					open[name] = f
				}
			}
			file := func(do func(f vfs.File) error) {
				if f, ok := open[name]; ok {
					errs = [2]error{do(f[0]), do(f[1])}
				}
			}
			piece := bytes.Repeat([]byte{byte(1 + r.IntN(255))}, 1+r.IntN(1<<(4+r.IntN(14))))
			at := int64(r.IntN(3 * chunkBytes))
			switch k := r.IntN(40); {
			case k < 2:
				both(func(fs vfs.FS) error { return fs.MkdirAll(fmt.Sprintf("d%d", len(piece)%2), 0o700) })
			case k < 6:
				opened(func(fs vfs.FS) (vfs.File, error) { return fs.Create(name, "") })
			case k < 18:
				file(func(f vfs.File) error { _, err := f.Write(slices.Clone(piece)); return err })
			case k < 21:
				file(func(f vfs.File) error { _, err := f.WriteAt(slices.Clone(piece), at); return err })
			case k < 27:
				file(vfs.File.Sync)
			case k < 30:
				both(func(fs vfs.FS) error { return syncDir(fs, fmt.Sprintf("d%d", len(piece)%2)) })
			case k < 32:
				both(func(fs vfs.FS) error { return syncDir(fs, "/") })
			case k < 33:
				both(func(fs vfs.FS) error { return fs.Remove(name) })
			case k < 34 && name != other && there(want, other[:2]): // else MemFS loses the file
				both(func(fs vfs.FS) error { return fs.Rename(name, other) })
			case k < 35 && name != other:
				both(func(fs vfs.FS) error { return fs.Link(name, other) })
			case k < 36:
				opened(func(fs vfs.FS) (vfs.File, error) { return fs.OpenReadWrite(name, "") })
			case k < 37 && name != other && there(want, name[:2]):
				opened(func(fs vfs.FS) (vfs.File, error) { return fs.ReuseForWrite(other, name, "") })
			case k < 38:
				both(func(fs vfs.FS) error { return fs.RemoveAll(fmt.Sprintf("d%d", len(piece)%2)) })
			case k < 39: // the power fails; what is written to the old disk does not reach the new one
				old := open
				want, got, open = want.(*vfs.MemFS).CrashClone(vfs.CrashCloneCfg{}), got.(*FS).AfterPowerCut(), map[string][2]vfs.File{}
				for _, f := range old {
					_, _ = f[1].WriteAt([]byte("too late"), 0)
					_, _ = f[1].Write([]byte("too late"))
				}
			default:
				both(func(fs vfs.FS) error { _, err := fs.Stat(name); return err })
			}
			if (errs[0] == nil) != (errs[1] == nil) {
				t.Fatalf("seed %d, step %d: %v, and %v", seed, step, errs[0], errs[1])
			}
			if a, b := dump(t, want), dump(t, got); a != b {
				t.Fatalf("seed %d, step %d: want\n%s\ngot\n%s", seed, step, a, b)
			}
		}
	}
}

func there(fs vfs.FS, name string) bool {
	_, err := fs.Stat(name)
	return err == nil
}

func syncDir(fs vfs.FS, name string) error {
	d, err := fs.OpenDir(name)
	if err != nil {
		return err
	}
	return d.Sync()
}

// dump is all that a disk has.
func dump(t *testing.T, fs vfs.FS) string {
	var b bytes.Buffer
	for _, dir := range []string{"d0", "d1"} {
		names, err := fs.List(dir)
		fmt.Fprintln(&b, dir, err == nil)
		slices.Sort(names)
		for _, name := range names {
			f, err := fs.Open(fs.PathJoin(dir, name))
			if err != nil {
				t.Fatal(err)
			}
			data, err := io.ReadAll(f)
			info, e := f.Stat()
			if err != nil || e != nil || info.Size() != int64(len(data)) {
				t.Fatal(err, e, len(data))
			}
			fmt.Fprintf(&b, "%s %d %x\n", name, len(data), sha256.Sum256(data))
		}
	}
	return b.String()
}

// Who has mapped a file sees what it was, whatever happens to it: whether it lies in one
// piece or in many.
func TestMappedStays(t *testing.T) {
	for _, pieces := range [][]int{{9}, {2 * chunkBytes}, {chunkBytes, chunkBytes}, {5*chunkBytes + 7}, {100, 3 * chunkBytes}} {
		d := New()
		f, err := d.Create("f", "")
		if err != nil {
			t.Fatal(err)
		}
		var want []byte
		for i, n := range pieces {
			piece := bytes.Repeat([]byte{'a' + byte(i)}, n)
			want = append(want, piece...)
			_, _ = f.Write(piece)
		}
		mapped := f.(interface{ Mapped() []byte })
		was := mapped.Mapped()
		_, _ = f.Write([]byte(", and more"))
		_, _ = f.WriteAt([]byte("XYZ"), int64(len(want)/2))
		if !bytes.Equal(was, want) {
			t.Errorf("%v: it is not what it was", pieces)
		}
		now := append(slices.Clone(want), ", and more"...)
		copy(now[len(want)/2:], "XYZ")
		if got := mapped.Mapped(); !bytes.Equal(got, now) {
			t.Errorf("%v: mapped again it has %d bytes, not %d, or others", pieces, len(got), len(now))
		}
	}
}
