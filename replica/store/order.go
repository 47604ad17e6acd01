package store

import (
	"path/filepath"
	"strings"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// ordered makes the name of a manifest durable before anything can name it. Pebble
// writes a new one, then a marker with its name, and syncs the directory once for both:
// a file system that keeps the younger of the two names and not the older one would
// leave a database that cannot be opened. Journals keep them in order; nothing says
// that all file systems do.
type ordered struct{ vfs.FS }

// manifestPrefix begins the names of pebble's manifests.
const manifestPrefix = "MANIFEST-"

// Create implements vfs.FS.
func (o ordered) Create(name string, category vfs.DiskWriteCategory) (vfs.File, error) {
	f, err := o.FS.Create(name, category)
	if err != nil || !strings.HasPrefix(filepath.Base(name), manifestPrefix) {
		return f, err
	}
	if err := syncDir(o.FS, filepath.Dir(name)); err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}
