package store

import (
	"math/rand/v2"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"ashlar/replica/ic"
	"ashlar/replica/wire/block"
)

// A bit of the log changes after a crash. If the record before the last one, or any
// earlier one, is hit, the node does not start, and the file is named; it never starts
// with fewer synced artifacts than there were, except for the last.
func TestDamagedLog(t *testing.T) {
	found := 0
	for seed := range uint64(60) {
		rng := rand.New(rand.NewPCG(seed, 4))
		mem := vfs.NewCrashableMem()
		s := open(t, mem)
		n := 5 + rng.IntN(400)
		for i := range n {
			must(t, s.Persist([]*block.Artifact{final(ic.Height(i + 1))}, true))
		}
		after := mem.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: rng.IntN(101), RNG: rng})
		must(t, s.Close())
		names, err := after.List("state/db")
		must(t, err)
		for _, name := range names {
			var number uint64
			if !digits(name, &number) || name[len(name)-4:] != ".log" {
				continue
			}
			data, err := readAll(after, "state/db/"+name)
			must(t, err)
			if len(data) < 300 {
				continue
			}
			at := rng.IntN(len(data) - 200)
			data[at] ^= 1 << rng.IntN(8)
			f, err := after.Create("state/db/"+name, vfs.WriteCategoryUnspecified)
			must(t, err)
			_, err = f.Write(data)
			must(t, err)
			must(t, f.Close())
		}
		s, err = Open("state", Options{FS: after})
		if err != nil {
			wantError(t, err, "damaged", ".log", "--resync")
			found++
			continue
		}
		as, err := s.Artifacts()
		must(t, err)
		if len(as) < n-1 {
			t.Errorf("seed %d: %d of %d synced artifacts are lost, and nobody said so", seed, n-len(as), n)
		}
		must(t, s.Close())
	}
	if found < 40 {
		t.Errorf("damage was found in %d of 60 runs", found)
	}
}

// What is at the end of a log that was cut is not damage.
func TestACutLogIsNotDamaged(t *testing.T) {
	mem := vfs.NewMem()
	s := open(t, mem)
	for i := range 300 {
		must(t, s.Persist([]*block.Artifact{final(ic.Height(i + 1))}, true))
	}
	names, err := mem.List("state/db")
	must(t, err)
	for _, name := range names {
		var number uint64
		if !digits(name, &number) || name[len(name)-4:] != ".log" {
			continue
		}
		data, err := readAll(mem, "state/db/"+name)
		must(t, err)
		for cut := range len(data) {
			if at, ok := logDamage(data[:cut], uint32(number)); ok {
				t.Fatalf("a log that ends at byte %d is taken for damaged at %d", cut, at)
			}
		}
		zeros := append(data[:len(data)/2:len(data)/2], make([]byte, 5000)...)
		if _, ok := logDamage(zeros, uint32(number)); ok {
			t.Error("a log that ends with zeros is taken for damaged")
		}
	}
	must(t, s.Close())
}

// What does not fit at the end of a block is left blank, and is not damage: records of
// many sizes end at each distance from it.
func TestBlocksOfALogEndBlank(t *testing.T) {
	for size := range 40 {
		mem := vfs.NewCrashableMem()
		s := open(t, mem)
		for i := range 150 {
			a := final(ic.Height(i + 1))
			a.Votes[0].Signature = make([]byte, 20+size)
			must(t, s.Persist([]*block.Artifact{a, a, a, a, a, a, a, a}, true))
		}
		open(t, mem.CrashClone(vfs.CrashCloneCfg{}))
		must(t, s.Close())
	}
}

func FuzzLogDamage(f *testing.F) {
	f.Add([]byte("abcdefgh"), uint32(2))
	f.Fuzz(func(t *testing.T, data []byte, number uint32) { logDamage(data, number) })
}
