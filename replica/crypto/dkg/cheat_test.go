package dkg

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	curve "github.com/consensys/gnark-crypto/ecc/bls12-381"
	"github.com/consensys/gnark-crypto/ecc/bls12-381/fr"
)

// cheat deals chunks that join to the right shares and are not those of an honest
// dealer: amount is moved from chunk j+1 to chunk j, 2^16 times as large.
func cheat(t testing.TB, s *Session, seed string, receiver, j int, amount int64) ([]byte, error) {
	t.Helper()
	poly, err := drawScalars(stream(seed), s.Threshold())
	if err != nil {
		t.Fatal(err)
	}
	w := &witness{poly: poly}
	for i := range s.nodes {
		w.appendChunks(i)
	}
	w.chunks[chunks*receiver+j] += amount << chunkBits
	w.chunks[chunks*receiver+j+1] -= amount
	return s.prove(stream(seed), 0, w)
}

// testdata/cheating.txt tells of dealers that cheat, and what comes of it.
func TestCheatingDealers(t *testing.T) {
	data, err := os.ReadFile(filepath.Join("testdata", "cheating.txt"))
	if err != nil {
		t.Fatal(err)
	}
	ran := 0
	for line := range strings.Lines(string(data)) {
		f := strings.Fields(line)
		if len(f) != 6 || f[0] == "#" {
			continue
		}
		ran++
		n, _ := strconv.Atoi(f[0])
		receiver, _ := strconv.Atoi(f[1])
		chunk, _ := strconv.Atoi(f[2])
		amount, err := strconv.ParseInt(f[3], 0, 64)
		if err != nil {
			t.Fatal(err)
		}
		all := people(t, "cheating", n)
		c := config(High, all, all)
		s := session(t, c)
		raw, err := cheat(t, s, line, receiver, chunk, amount)
		if f[4] == "unprovable" {
			if err == nil {
				t.Errorf("%q: the proof was made", line)
			}
			continue
		} else if err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		bad, err := s.Verify(0, raw)
		if err != nil {
			t.Errorf("%q: %v", line, err)
			continue
		}
		dealings := []*Dealing{bad}
		for i := 1; i < s.Needed(); i++ {
			raw, err := s.Deal(stream("honest"), i, nil)
			if err != nil {
				t.Fatal(err)
			}
			d, err := s.Verify(i, raw)
			if err != nil {
				t.Fatal(err)
			}
			dealings = append(dealings, d)
		}
		tr, err := s.Combine(dealings)
		if err != nil {
			t.Fatal(err)
		}
		start := time.Now()
		key, err := tr.Load(stream(""), all[receiver].id, all[receiver].key)
		if err != nil || !key.PublicKey().Equal(tr.Group().Holders[receiver]) {
			t.Errorf("%q: %v", line, err)
		}
		t.Logf("%s: loaded in %v", strings.TrimSpace(line), time.Since(start))
	}
	if ran < 6 {
		t.Errorf("ran %d lines", ran)
	}
}

// A dealer whose chunk is out of all bounds can only lie about the masked sums, and
// is refused for that.
func TestOutOfSlackRefused(t *testing.T) {
	s, raw := dealt(t, "slack", 4)
	_, z := slack(4)
	for _, v := range []uint64{z, z + 1, 1 << 63, ^uint64(0)} {
		bad := bytes.Clone(raw)
		w := writer(nil)
		w.u64(v)
		copy(bad[s.shape().masked():], w)
		if _, err := s.Verify(0, bad); err == nil || !strings.Contains(err.Error(), "out of its range") {
			t.Errorf("%d: %v", v, err)
		}
	}
	w := writer(nil)
	w.u64(z - 1) // inside the range, and wrong
	bad := bytes.Clone(raw)
	copy(bad[s.shape().masked():], w)
	if _, err := s.Verify(0, bad); err == nil {
		t.Error("another masked sum was accepted")
	}
}

// A sum outside of 0..Z-1 would tell of the chunks: the prover never shows one.
func TestMaskedSums(t *testing.T) {
	_, z := slack(1)
	e := make([]byte, chunks*repetitions)
	for i := range e {
		e[i] = 255
	}
	chunk := make([]int64, chunks)
	chunk[3] = 2 // every sum is 510 before it is masked
	for _, c := range []struct {
		mask int64
		ok   bool
	}{{-510, true}, {-511, false}, {0, true}, {int64(z) - 511, true}, {int64(z) - 510, false}} {
		for _, at := range []int{0, repetitions - 1} {
			sigma := make([]int64, repetitions)
			sigma[at] = c.mask
			zs, ok := maskedSums(e, chunk, sigma, 1)
			if ok != c.ok || ok && zs[at] != uint64(510+c.mask) {
				t.Errorf("mask %d at %d: %d, %t", c.mask, at, zs[at], ok)
			}
		}
	}
	s := session(t, config(Low, people(t, "m", 1), people(t, "m", 1)))
	most, _ := slack(1)
	low, high := false, false
	for i := range 40 {
		sigma, err := s.drawMasks(stream(fmt.Sprint(i)))
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range sigma {
			if m < -int64(most) || m >= int64(z) {
				t.Errorf("mask %d", m)
			}
			low, high = low || m < 0, high || m > int64(z/4*3)
		}
	}
	if !low || !high {
		t.Error("masks do not cover their range")
	}
}

// Ciphertexts that do not hold the shares of the commitment, with an honest chunking proof.
func TestWrongShareRefused(t *testing.T) {
	all := people(t, "wrong", 4)
	s := session(t, config(High, all, all))
	poly, err := drawScalars(stream("wrong"), s.Threshold())
	if err != nil {
		t.Fatal(err)
	}
	w := &witness{poly: poly}
	for i := range s.nodes {
		w.appendChunks(i)
	}
	w.chunks[20] ^= 1
	raw, err := s.prove(stream("wrong"), 0, w)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Verify(0, raw); err == nil {
		t.Error("a share that does not fit the commitment was accepted")
	}
	own, err := s.Own(0, raw)
	if err != nil {
		t.Fatal(err)
	}
	var rest []*Dealing
	for i := 1; i < s.Needed(); i++ {
		raw, err := s.Deal(stream("honest"), i, nil)
		if err != nil {
			t.Fatal(err)
		}
		d, err := s.Own(i, raw)
		if err != nil {
			t.Fatal(err)
		}
		rest = append(rest, d)
	}
	tr, err := s.Combine(append(rest, own))
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Recheck(tr); err == nil {
		t.Error("a transcript was accepted whose dealing its maker did not check")
	}
}

// Every d of the soundness bound, at both ends of the range, and what lies outside.
func TestSearch(t *testing.T) {
	search := newGiant(1)
	_, z := slack(1)
	target := func(v int64, d uint64) (curve.G1Affine, fr.Element) {
		var s, q fr.Element
		s.SetInt64(v)
		q.SetUint64(d)
		s.Mul(&s, q.Inverse(&q))
		j := one().mul(&s)
		var p curve.G1Affine
		return *p.FromJacobian(&j), s
	}
	for _, v := range []int64{-1, 0, 1, 1 << 16, -(1 << 16), 1<<20 + 1, int64(search.baby), -int64(search.baby) - 1, 1<<24 + 1, -(1 << 22) - 3} {
		for _, d := range []uint64{1, 2, 3, 128, 254, 255} {
			p, want := target(v, d)
			if got, err := search.solve(&p); err != nil || !got.Equal(&want) {
				t.Errorf("%d/%d: %v", v, d, err)
			}
		}
	}
	p, want := target(int64(z-1), 1) // the farthest
	if got, err := search.solve(&p); err != nil || !got.Equal(&want) {
		t.Errorf("Z-1: %v", err)
	}
	if p, want = target(-int64(z-1), 255); true {
		if got, err := search.solve(&p); err != nil || !got.Equal(&want) {
			t.Errorf("-(Z-1)/255: %v", err)
		}
	}
	if testing.Short() {
		return
	}
	start := time.Now()
	s, err := drawScalar(stream("outside"))
	if err != nil {
		t.Fatal(err)
	}
	j := one().mul(&s)
	p.FromJacobian(&j)
	if _, err := search.solve(&p); err != errOutside {
		t.Errorf("a random scalar was found: %v", err)
	}
	t.Logf("all of the slack for n=1 searched in %v", time.Since(start))
}

// A dealer that found a chunk out of range with the tag of one in range gains
// nothing: the joined share does not fit, and Load looks again at points, not tags.
func TestTagCollision(t *testing.T) {
	all := people(t, "collision", 1)
	s := session(t, config(High, all, all))
	raw, err := cheat(t, s, "collision", 0, 0, 1)
	if err != nil {
		t.Fatal(err)
	}
	d, err := s.Verify(0, raw)
	if err != nil {
		t.Fatal(err)
	}
	tr, err := s.Combine([]*Dealing{d})
	if err != nil {
		t.Fatal(err)
	}
	poly, err := drawScalars(stream("collision"), 1)
	if err != nil {
		t.Fatal(err)
	}
	w := &witness{poly: poly}
	w.appendChunks(0)
	point := multipleOf(uint64(w.chunks[0] + 1<<chunkBits))
	table := chunkTable()
	was := table[5]
	table[5] = tag(&point)
	defer func() { table[5] = was }()
	if _, err := tr.decrypt(stream(""), raw, 0, all[0].key, nil, false); err != nil {
		t.Fatal(err) // believes the tag
	}
	key, err := tr.Load(stream(""), all[0].id, all[0].key)
	if err != nil || !key.PublicKey().Equal(tr.Group().Key) {
		t.Errorf("%v", err)
	}
}

// A point whose tag is that of a chunk and which is another: the exact search sees it.
func TestLookupIsConfirmed(t *testing.T) {
	p := multipleOf(77)
	values, found := chunkTable().lookup([]curve.G1Affine{p, {}, multipleOf(1 << 16), multipleOf(1<<16 - 1)})
	if !found[0] || values[0] != 77 || !found[1] || values[1] != 0 || found[2] || !found[3] || values[3] != 65535 {
		t.Error(values, found)
	}
	p.Neg(&p)
	if _, found := chunkTable().lookup([]curve.G1Affine{p}); found[0] {
		t.Error("the negative of a chunk was taken for it")
	}
	seen := map[uint64]bool{}
	for _, tag := range chunkTable() {
		if seen[tag] {
			t.Error("two chunks have one tag")
		}
		seen[tag] = true
	}
}
