package engine

import (
	"errors"
	"math/rand/v2"
	"testing"

	"ashlar/replica/state/pages"
)

// Pages count once for each run, in whatever pieces they are touched; the model is a
// pair of sets.
func TestTouched(t *testing.T) {
	var got touched
	rnd := rand.New(rand.NewPCG(1, 2))
	for range 50 {
		got.begin(0)
		read, wrote := map[uint64]bool{}, map[uint64]bool{}
		for range 200 {
			offset, n, write := rnd.Uint64N(4000*pages.Size), int(rnd.Uint64N(300*pages.Size)), rnd.IntN(2) == 0
			want := uint64(0)
			for i := offset / pages.Size; n > 0 && i <= (offset+uint64(n)-1)/pages.Size; i++ {
				read[i] = true
				if write && !wrote[i] {
					wrote[i] = true
					want++
				}
			}
			fresh, err := got.mark(offset, n, write)
			if err != nil || fresh != want || got.read != uint64(len(read)) || got.wrote != uint64(len(wrote)) {
				t.Fatalf("%d bytes at %d, write %v: %d fresh, %d read, %d written, %v; want %d, %d, %d", n, offset, write, fresh, got.read, got.wrote, err, want, len(read), len(wrote))
			}
		}
	}
}

// A run that touches too much ends, and says whether it read or wrote.
func TestTouchedLimits(t *testing.T) {
	for _, c := range []struct {
		write []bool // a page each
		want  error
	}{
		{[]bool{true, true, true}, nil}, {[]bool{false, false, false}, nil},
		{[]bool{true, true, true, true}, errWritten}, {[]bool{false, false, false, false}, errTouched}, {[]bool{true, true, false, true}, errTouched},
	} {
		var got touched
		got.begin(3)
		var err error
		for i, write := range c.write {
			_, err = got.mark(uint64(i)*100*pages.Size, 1, write)
		}
		if !errors.Is(err, c.want) {
			t.Errorf("%v: %v, want %v", c.write, err, c.want)
		}
	}
}
