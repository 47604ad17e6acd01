package store

import (
	"path/filepath"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"ashlar/replica/ic"
	"ashlar/replica/wire/block"
)

// A database is set aside whole, the new one knows when; and a power cut at any moment
// leaves the old one, or a new one that knows.
func TestSetAside(t *testing.T) {
	for cut := range 2 {
		mem := vfs.NewCrashableMem()
		s := open(t, mem)
		must(t, s.Persist([]*block.Artifact{final(1)}, true))
		if at, err := s.Forgot(); at != 0 || err != nil {
			t.Errorf("it forgot at %d: %v", at, err)
		}
		if _, err := SetAside("state", 5e9, Options{FS: mem}); err == nil {
			t.Error("a database in use was set aside")
		}
		must(t, s.Close())
		to, err := SetAside("state", 5e9, Options{FS: mem})
		must(t, err)
		if cut == 1 {
			mem = mem.CrashClone(vfs.CrashCloneCfg{})
		}
		s = open(t, mem)
		if at, err := s.Forgot(); at != 5e9 || err != nil {
			t.Errorf("it forgot at %d: %v", at, err)
		}
		if list, err := s.Artifacts(); len(list) != 0 || err != nil {
			t.Errorf("the new database has %d artifacts: %v", len(list), err)
		}
		must(t, s.Close())
		s = open(t, mem)
		if at, err := s.Forgot(); at != 5e9 || err != nil {
			t.Errorf("after a restart it forgot at %d: %v", at, err)
		}
		must(t, s.Close())
		old, err := Open(to, Options{FS: mem})
		must(t, err)
		if list, err := old.Artifacts(); len(list) != 1 || err != nil {
			t.Errorf("the one set aside has %d artifacts: %v", len(list), err)
		}
		must(t, old.Close())
		if again, err := SetAside("state", ic.Time(6e9), Options{FS: mem}); err != nil || again == to || filepath.Dir(again) != "state" {
			t.Errorf("set aside a second time to %s: %v", again, err)
		}
	}
}
