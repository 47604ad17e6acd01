// Package ram is a file system in memory that forgets in a power cut what was not
// synced, as pebble's vfs.MemFS does. A sync, a copy of the whole disk and a mapping
// cost nothing here: all that has the same bytes shares them, and who writes over
// shared ones copies the file first.
//
//	content ████ ████ ████ ████ ██    what readers see, in chunks
//	synced  ████ ████ ████            what is there after a power cut
//	shared  ████ ████ ████            is never changed in place
//
// A disk may be used by many goroutines.
package ram

import (
	"errors"
	"io"
	"io/fs"
	"maps"
	"path"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// FS is a disk.
type FS struct {
	mu     sync.Mutex
	root   *node
	locked map[string]bool
}

// New is an empty disk.
func New() *FS { return &FS{root: newDir(), locked: map[string]bool{}} }

// AfterPowerCut is what the disk has if its power fails now.
func (d *FS) AfterPowerCut() *FS {
	d.mu.Lock()
	defer d.mu.Unlock()
	return &FS{root: d.root.afterPowerCut(), locked: map[string]bool{}}
}

// node is a directory or a file, whatever its names are.
type node struct {
	names, durable map[string]*node // of a directory: all, and those that were synced; nil: a file

	content         // of a file
	synced  content // what of it is there after a power cut
	shared  int     // bytes at the beginning that others have too
	frozen  int     // chunks at the beginning of which others may even write what follows
}

func newDir() *node { return &node{names: map[string]*node{}} }

func (n *node) isDir() bool { return n.names != nil }

func (n *node) sync() {
	if n.isDir() {
		n.durable = maps.Clone(n.names)
		return
	}
	n.synced = n.share()
}

// share gives out what there is.
func (n *node) share() content {
	n.shared = n.size
	n.chunks = slices.Clip(n.chunks) // who adds one copies the list
	return n.content
}

func (n *node) afterPowerCut() *node {
	if !n.isDir() {
		return &node{content: n.synced, synced: n.synced, shared: n.synced.size, frozen: len(n.synced.chunks)}
	}
	after := newDir()
	for name, child := range n.durable {
		after.names[name] = child.afterPowerCut()
	}
	after.sync()
	return after
}

// write in place what is nobody else's. A file that is written at once lies in one piece.
func (n *node) write(p []byte, at int) {
	if n.size == 0 && at == 0 && len(p) > chunkBytes {
		n.whole = slices.Clone(p)
		n.chunks, n.size = slices.Collect(slices.Chunk(n.whole, chunkBytes)), len(p)
		return
	}
	for n.size < at { // a gap has zeros
		n.write(make([]byte, min(at-n.size, chunkBytes)), n.size)
	}
	for len(p) > 0 {
		k := copy(n.room(at), p)
		p, at = p[k:], at+k
		n.size = max(n.size, at)
	}
}

// room to write in, from a place on that is not behind the end.
func (n *node) room(at int) []byte {
	i := at / chunkBytes
	switch {
	case i == len(n.chunks):
		n.chunks, n.whole = append(n.chunks, make([]byte, chunkBytes)), nil
	case at < n.shared || i < n.frozen || len(n.chunks[i]) < chunkBytes:
		own := make([]byte, chunkBytes)
		n.read(own, i*chunkBytes)
		n.chunks, n.whole = slices.Clone(n.chunks), nil
		n.chunks[i] = own
		if i == n.frozen-1 {
			n.frozen = i
		}
	}
	return n.chunks[i][at%chunkBytes:]
}

// content of a file. Chunks have chunkBytes each, but for the last of what was written at
// once; what they have behind the size means nothing.
type content struct {
	chunks [][]byte
	size   int
	whole  []byte // all of it; nil: it does not lie in one piece
}

const chunkBytes = 32 << 10 // logs grow by this, and what is written over in shared ones is copied by it

func (c *content) read(p []byte, at int) (n int) {
	p = p[:max(0, min(len(p), c.size-at))]
	for n < len(p) {
		n += copy(p[n:], c.chunks[(at+n)/chunkBytes][(at+n)%chunkBytes:])
	}
	return n
}

// find a directory and the name in it.
func (d *FS) find(op, name string) (dir *node, base string, err error) {
	dir = d.root
	parts := strings.FieldsFunc(name, func(r rune) bool { return r == '/' })
	if len(parts) == 0 || len(parts) == 1 && parts[0] == "." {
		return dir, "", nil
	}
	for _, part := range parts[:len(parts)-1] {
		if dir = dir.names[part]; dir == nil || !dir.isDir() {
			return nil, "", &fs.PathError{Op: op, Path: name, Err: fs.ErrNotExist}
		}
	}
	return dir, parts[len(parts)-1], nil
}

// get what has a name.
func (d *FS) get(op, name string) (*node, error) {
	dir, base, err := d.find(op, name)
	if err != nil || base == "" {
		return dir, err
	}
	if n := dir.names[base]; n != nil {
		return n, nil
	}
	return nil, &fs.PathError{Op: op, Path: name, Err: fs.ErrNotExist}
}

// Create makes a new file of that name.
func (d *FS) Create(name string, _ vfs.DiskWriteCategory) (vfs.File, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.create(name)
}

func (d *FS) create(name string) (vfs.File, error) {
	dir, base, err := d.find("create", name)
	if err != nil {
		return nil, err
	}
	n := &node{}
	dir.names[base] = n
	return &file{d: d, n: n, name: base, writes: true}, nil
}

// Link gives a file a second name.
func (d *FS) Link(oldname, newname string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	n, err := d.get("link", oldname)
	if err != nil {
		return err
	}
	dir, base, err := d.find("link", newname)
	if err != nil {
		return err
	}
	if dir.names[base] != nil {
		return &fs.PathError{Op: "link", Path: newname, Err: fs.ErrExist}
	}
	dir.names[base] = n
	return nil
}

// Open a file or directory to read it.
func (d *FS) Open(name string, _ ...vfs.OpenOption) (vfs.File, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.open(name, false)
}

// OpenDir opens a directory to sync it.
func (d *FS) OpenDir(name string) (vfs.File, error) { return d.Open(name) }

func (d *FS) open(name string, writes bool) (vfs.File, error) {
	n, err := d.get("open", name)
	if err != nil {
		return nil, err
	}
	return &file{d: d, n: n, name: path.Base(name), writes: writes}, nil
}

// OpenReadWrite opens a file, or makes it.
func (d *FS) OpenReadWrite(name string, _ vfs.DiskWriteCategory, _ ...vfs.OpenOption) (vfs.File, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	f, err := d.open(name, true)
	if errors.Is(err, fs.ErrNotExist) {
		return d.create(name)
	}
	return f, err
}

// Remove a file or an empty directory.
func (d *FS) Remove(name string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	n, err := d.get("remove", name)
	if err != nil {
		return err
	}
	if len(n.names) > 0 {
		return &fs.PathError{Op: "remove", Path: name, Err: syscall.ENOTEMPTY}
	}
	return d.removeAll(name)
}

// RemoveAll removes a directory with all in it.
func (d *FS) RemoveAll(name string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	err := d.removeAll(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

func (d *FS) removeAll(name string) error {
	dir, base, err := d.find("remove", name)
	if err == nil {
		delete(dir.names, base)
	}
	return err
}

// Rename takes the place of what has the new name.
func (d *FS) Rename(oldname, newname string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.rename(oldname, newname)
}

func (d *FS) rename(oldname, newname string) error {
	n, err := d.get("rename", oldname)
	if err != nil {
		return err
	}
	dir, base, err := d.find("rename", newname)
	if err != nil {
		return err
	}
	if err := d.removeAll(oldname); err != nil {
		return err
	}
	dir.names[base] = n
	return nil
}

// ReuseForWrite renames a file and opens it as it is.
func (d *FS) ReuseForWrite(oldname, newname string, _ vfs.DiskWriteCategory) (vfs.File, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.rename(oldname, newname); err != nil {
		return nil, err
	}
	return d.open(newname, true)
}

// MkdirAll makes a directory and those above it.
func (d *FS) MkdirAll(name string, _ fs.FileMode) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	dir := d.root
	for _, part := range strings.FieldsFunc(name, func(r rune) bool { return r == '/' }) {
		next := dir.names[part]
		if next == nil {
			next = newDir()
			dir.names[part] = next
		}
		if dir = next; !dir.isDir() {
			return &fs.PathError{Op: "mkdir", Path: name, Err: syscall.ENOTDIR}
		}
	}
	return nil
}

// Lock a file, which is made.
func (d *FS) Lock(name string) (io.Closer, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.locked[name] {
		return nil, syscall.EAGAIN
	}
	if _, err := d.create(name); err != nil {
		return nil, err
	}
	d.locked[name] = true
	return &lock{d, name}, nil
}

type lock struct {
	d    *FS
	name string
}

// Close releases the lock.
func (l *lock) Close() error {
	l.d.mu.Lock()
	defer l.d.mu.Unlock()
	delete(l.d.locked, l.name)
	return nil
}

// List the names in a directory, in order.
func (d *FS) List(name string) ([]string, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	n, err := d.get("list", name)
	if err != nil {
		return nil, err
	}
	return slices.Sorted(maps.Keys(n.names)), nil
}

// Stat tells the size of a file.
func (d *FS) Stat(name string) (vfs.FileInfo, error) {
	f, err := d.Open(name)
	if err != nil {
		return nil, err
	}
	return f.Stat()
}

// PathBase is path.Base.
func (*FS) PathBase(p string) string { return path.Base(p) }

// PathJoin is path.Join.
func (*FS) PathJoin(elem ...string) string { return path.Join(elem...) }

// PathDir is path.Dir.
func (*FS) PathDir(p string) string { return path.Dir(p) }

// GetDiskUsage is not known.
func (*FS) GetDiskUsage(string) (vfs.DiskUsage, error) { return vfs.DiskUsage{}, vfs.ErrUnsupported }

// Unwrap gives nothing: no other disk is below.
func (*FS) Unwrap() vfs.FS { return nil }

// file is an open file or directory.
type file struct {
	d      *FS
	n      *node
	name   string
	pos    int
	writes bool
}

var errMode = errors.New("the file was not opened for that")

func (f *file) Close() error { return nil }

// Mapped is what the file has now, and whoever writes it does not change it.
func (f *file) Mapped() []byte {
	f.d.mu.Lock()
	defer f.d.mu.Unlock()
	c := f.n.share()
	if c.whole != nil {
		return c.whole
	}
	all := make([]byte, c.size)
	c.read(all, 0)
	return all
}

func (f *file) Read(p []byte) (int, error) {
	n, err := f.ReadAt(p, int64(f.pos))
	if f.pos += n; n > 0 {
		err = nil
	}
	return n, err
}

func (f *file) ReadAt(p []byte, at int64) (int, error) {
	f.d.mu.Lock()
	defer f.d.mu.Unlock()
	if f.n.isDir() {
		return 0, errMode
	}
	n := f.n.read(p, int(at))
	if n < len(p) || at >= int64(f.n.size) {
		return n, io.EOF
	}
	return n, nil
}

func (f *file) Write(p []byte) (int, error) {
	n, err := f.WriteAt(p, int64(f.pos))
	f.pos += n
	return n, err
}

func (f *file) WriteAt(p []byte, at int64) (int, error) {
	f.d.mu.Lock()
	defer f.d.mu.Unlock()
	if !f.writes || f.n.isDir() {
		return 0, errMode
	}
	f.n.write(p, int(at))
	return len(p), nil
}

func (f *file) Sync() error {
	f.d.mu.Lock()
	defer f.d.mu.Unlock()
	f.n.sync()
	return nil
}

func (f *file) SyncData() error { return f.Sync() }

// SyncTo promises nothing, so that nobody counts on it.
func (f *file) SyncTo(int64) (bool, error) { return false, nil }

func (f *file) Preallocate(int64, int64) error { return nil }
func (f *file) Prefetch(int64, int64) error    { return nil }
func (f *file) Fd() uintptr                    { return vfs.InvalidFd }

func (f *file) Stat() (vfs.FileInfo, error) {
	f.d.mu.Lock()
	defer f.d.mu.Unlock()
	return info{f.name, int64(f.n.size), f.n.isDir()}, nil
}

// info of a file. Nothing here has a time: a run can be repeated from its seed.
type info struct {
	name string
	size int64
	dir  bool
}

func (i info) Name() string           { return i.name }
func (i info) Size() int64            { return i.size }
func (i info) IsDir() bool            { return i.dir }
func (i info) ModTime() time.Time     { return time.Time{} }
func (i info) Sys() any               { return nil }
func (i info) DeviceID() vfs.DeviceID { return vfs.DeviceID{} }

// Mode of a file or a directory.
func (i info) Mode() fs.FileMode {
	if i.dir {
		return fs.ModeDir | 0o700
	}
	return 0o600
}
