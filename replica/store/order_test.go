package store

import (
	"math/rand/v2"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// atMarker calls back when a file was created, before its directory is synced.
type atMarker struct {
	*vfs.MemFS
	at func()
}

func (a *atMarker) Create(name string, c vfs.DiskWriteCategory) (vfs.File, error) {
	f, err := a.MemFS.Create(name, c)
	a.at()
	return f, err
}

// A power cut that keeps names in any order leaves a database that opens.
func TestNamesOutOfOrder(t *testing.T) {
	rng := rand.New(rand.NewPCG(5, 6))
	for range 20 {
		disk := &atMarker{MemFS: vfs.NewCrashableMem()}
		var cuts []*vfs.MemFS
		disk.at = func() {
			cuts = append(cuts, disk.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: 50, RNG: rng}))
		}
		for range 3 { // each opening makes a manifest
			s, err := Open("state", Options{FS: disk})
			if err != nil {
				t.Fatal(err)
			}
			must(t, s.Close())
		}
		for i, cut := range cuts {
			s, err := Open("state", Options{FS: cut})
			if err != nil {
				t.Fatalf("after cut %d: %v", i, err)
			}
			must(t, s.Close())
		}
	}
}
