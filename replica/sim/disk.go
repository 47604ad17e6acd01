package sim

import (
	"math/rand/v2"
	"path"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"

	"github.com/cockroachdb/pebble/v2/vfs"

	"ashlar/replica/sim/ram"
)

// disk of one node. It forgets in a power cut what was not synced.
type disk struct {
	w       *world
	rest    func() // waits until nobody writes who is not seen: nil where nobody can
	mem     *ram.FS
	full    *atomic.Bool
	refused *atomic.Bool // a write, since the node started
	damaged bool         // since it was new
	cutIn   int          // the power is cut at that many writes from now; 0: not
	cutSave int          // the same, writes of page files
	cut     *ram.FS      // what the disk had then
	lost    *atomic.Bool // nobody reads any more what is written through the latest fs
}

func newDisk(w *world) *disk {
	return &disk{w: w, mem: ram.New(), full: &atomic.Bool{}, refused: &atomic.Bool{}, lost: &atomic.Bool{}}
}

// fs is what a store opens.
func (d *disk) fs() vfs.FS {
	d.lost = &atomic.Bool{}
	if d.w.Bug == SkippedSync {
		return fullDisk{lyingDisk{d.mem}, d, d.lost}
	}
	return fullDisk{d.mem, d, d.lost}
}

// clone is the disk after a power cut.
func (d *disk) clone() *ram.FS {
	if after := d.cut; after != nil {
		d.cut = nil
		return after
	}
	if d.rest != nil {
		d.rest()
	}
	return d.mem.AfterPowerCut()
}

// noSpace tells whether a write is refused.
func (d fullDisk) noSpace() bool {
	if d.full.Load() && !d.lost.Load() {
		d.refused.Store(true)
		return true
	}
	return false
}

// writes tells the disk of a write to a file. Only page files are counted: the
// database writes on goroutines of its own.
func (d fullDisk) writes(name string) {
	if !strings.Contains(name, "/pages") || d.cutSave == 0 || d.lost.Load() {
		return
	}
	if d.cutSave--; d.cutSave == 0 {
		d.cut = d.clone()
	}
}

// wipe replaces the disk.
func (d *disk) wipe() { d.mem, d.damaged = ram.New(), false }

// damage flips a byte in each file of the database that holds data.
func (d *disk) damage(r *rand.Rand) error {
	d.damaged = true
	for _, dir := range []string{"state/db", "state/pages"} {
		names, err := d.mem.List(dir)
		if err != nil {
			return err
		}
		slices.Sort(names)
		for _, name := range names {
			if !slices.Contains([]string{".log", ".sst", ".pages"}, path.Ext(name)) {
				continue
			}
			if err := flip(d.mem, path.Join(dir, name), r); err != nil {
				return err
			}
		}
	}
	return nil
}

// flip a byte somewhere in the first half of a file.
func flip(fs vfs.FS, name string, r *rand.Rand) error {
	info, err := fs.Stat(name)
	if err != nil || info.Size() < 2 {
		return err
	}
	f, err := fs.OpenReadWrite(name, vfs.WriteCategoryUnspecified)
	if err != nil {
		return err
	}
	defer f.Close()
	at, b := r.Int64N(info.Size()/2), []byte{0}
	if _, err := f.ReadAt(b, at); err != nil {
		return err
	}
	b[0] ^= 1 << r.IntN(8)
	if _, err := f.WriteAt(b, at); err != nil {
		return err
	}
	return f.Sync()
}

// fullDisk refuses to write once it is full, and counts writes.
type fullDisk struct {
	vfs.FS
	*disk
	lost *atomic.Bool
}

func (d fullDisk) file(name string, f vfs.File, err error) (vfs.File, error) {
	if err != nil {
		return nil, err
	}
	return fullFile{f, d, name}, nil
}

// Create fails on a full disk.
func (d fullDisk) Create(name string, c vfs.DiskWriteCategory) (vfs.File, error) {
	d.writes(name)
	if d.noSpace() {
		return nil, syscall.ENOSPC
	}
	f, err := d.FS.Create(name, c)
	return d.file(name, f, err)
}

// ReuseForWrite gives a file that can be full.
func (d fullDisk) ReuseForWrite(oldname, newname string, c vfs.DiskWriteCategory) (vfs.File, error) {
	f, err := d.FS.ReuseForWrite(oldname, newname, c)
	return d.file(newname, f, err)
}

// OpenReadWrite gives a file that can be full.
func (d fullDisk) OpenReadWrite(name string, c vfs.DiskWriteCategory, o ...vfs.OpenOption) (vfs.File, error) {
	f, err := d.FS.OpenReadWrite(name, c, o...)
	return d.file(name, f, err)
}

// OpenDir gives a directory whose syncs count.
func (d fullDisk) OpenDir(name string) (vfs.File, error) {
	f, err := d.FS.OpenDir(name)
	return d.file(name, f, err)
}

// Remove counts.
func (d fullDisk) Remove(name string) error {
	d.writes(name)
	return d.FS.Remove(name)
}

// GetDiskUsage is what the store asks before it writes.
func (d fullDisk) GetDiskUsage(string) (vfs.DiskUsage, error) {
	if d.noSpace() {
		return vfs.DiskUsage{TotalBytes: 1 << 30, UsedBytes: 1 << 30}, nil
	}
	return vfs.DiskUsage{AvailBytes: 1 << 30, TotalBytes: 1 << 30}, nil
}

type fullFile struct {
	vfs.File
	disk fullDisk
	name string
}

// Sync counts.
func (f fullFile) Sync() error {
	f.disk.writes(f.name)
	return f.File.Sync()
}

func (f fullFile) Write(p []byte) (int, error) {
	f.disk.writes(f.name)
	if f.disk.noSpace() {
		return 0, syscall.ENOSPC
	}
	return f.File.Write(p)
}

func (f fullFile) WriteAt(p []byte, at int64) (int, error) {
	if f.disk.noSpace() {
		return 0, syscall.ENOSPC
	}
	return f.File.WriteAt(p, at)
}

// lyingDisk says that it synced, and did not.
type lyingDisk struct{ vfs.FS }

// Create gives a file that lies.
func (d lyingDisk) Create(name string, c vfs.DiskWriteCategory) (vfs.File, error) {
	f, err := d.FS.Create(name, c)
	return lyingFile{f}, err
}

// ReuseForWrite gives a file that lies.
func (d lyingDisk) ReuseForWrite(oldname, newname string, c vfs.DiskWriteCategory) (vfs.File, error) {
	f, err := d.FS.ReuseForWrite(oldname, newname, c)
	return lyingFile{f}, err
}

type lyingFile struct{ vfs.File }

func (lyingFile) Sync() error                  { return nil }
func (lyingFile) SyncData() error              { return nil }
func (lyingFile) SyncTo(n int64) (bool, error) { return true, nil }
