package usersig

import (
	"fmt"
	"sync"
	"testing"

	"ashlar/replica/crypto/eddsa"
)

func ed25519User(t testing.TB, i int) *Identity {
	seed := make([]byte, 32)
	seed[0], seed[1] = byte(i), 7
	u, err := Ed25519(seed)
	if err != nil {
		t.Fatal(err)
	}
	return u
}

// A request is wrong if one of its signatures is, whatever it is and wherever it lies.
func TestBatch(t *testing.T) {
	v := &Crowd{Verifier: &Verifier{}}
	others := identities(t)
	for _, n := range []int{1, 3, eddsa.MaxBatch - 1, eddsa.MaxBatch, 2*eddsa.MaxBatch + 5} {
		b := v.NewBatch()
		want := map[int]bool{}
		for i := range n {
			b.Next()
			for j := range 1 + i%3 { // as with delegations
				u := ed25519User(t, i%9)
				m := fmt.Appendf(nil, "%d %d", i, j)
				sig, _ := u.Sign(m)
				if i%7 == 3 && j == i%3 {
					sig[5] ^= 1
					want[i] = true
				}
				if err := b.Verify(u.PublicKey(), m, sig); err != nil {
					t.Fatalf("put off, and refused: %v", err)
				}
			}
			for name, u := range others {
				m := []byte(name)
				sig, _ := u.Sign(m)
				if err := b.Verify(u.PublicKey(), m, sig); err != nil {
					t.Errorf("%s: %v", name, err)
				}
				if err := b.Verify(u.PublicKey(), []byte("other"), sig); err == nil && name != "Ed25519" {
					t.Errorf("%s: a wrong signature was not refused at once", name)
				} else if err == nil {
					want[i] = true
				}
			}
		}
		got := b.Wrong()
		for i := range n {
			if (got[i] != nil) != want[i] {
				t.Errorf("request %d of %d: %v", i, n, got[i])
			}
		}
	}
	b := v.NewBatch()
	b.Next()
	u := ed25519User(t, 1)
	sig, _ := u.Sign([]byte("m"))
	for name, err := range map[string]error{
		"a short signature": b.Verify(u.PublicKey(), []byte("m"), sig[:63]),
		"no signature":      b.Verify(u.PublicKey(), []byte("m"), nil),
		"no key":            b.Verify(nil, []byte("m"), sig),
		"a cut key":         b.Verify(u.PublicKey()[:40], []byte("m"), sig),
	} {
		if err == nil {
			t.Errorf("%s was put off", name)
		}
	}
	if w := b.Wrong(); len(w) != 0 {
		t.Errorf("what was refused at once is told again: %v", w)
	}
}

// Each of many goroutines gets the answer to its own signature.
func TestCrowd(t *testing.T) {
	c := &Crowd{Verifier: &Verifier{}}
	var all sync.WaitGroup
	for g := range 10 { // and the requests of peers beside them
		all.Go(func() {
			for i := range 20 {
				b := c.NewBatch()
				for j := range 3 * eddsa.MaxBatch / 10 * (g % 5) {
					u := ed25519User(t, (g+j)%6)
					m := fmt.Appendf(nil, "%d %d %d", g, i, j)
					sig, _ := u.Sign(m)
					if j == i {
						sig[40] ^= 1
					}
					b.Next()
					if err := b.Verify(u.PublicKey(), m, sig); err != nil {
						t.Error(err)
					}
				}
				if wrong := b.Wrong(); len(b.sigs) != 0 || len(wrong) > 1 || (wrong[i] == nil) != (g%5 == 0) {
					t.Errorf("of batch %d of %d are wrong: %v", i, g, wrong)
				}
			}
		})
	}
	for g := range 40 {
		all.Go(func() {
			u := ed25519User(t, g%6)
			for i := range 30 {
				m := fmt.Appendf(nil, "%d %d", g, i)
				sig, _ := u.Sign(m)
				bad := (g+i)%11 == 0
				if bad {
					sig[40] ^= 1
				}
				if err := c.Verify(u.PublicKey(), m, sig); (err != nil) != bad {
					t.Errorf("goroutine %d, signature %d: %v", g, i, err)
				}
			}
		})
	}
	all.Wait()
	if c.busy != 0 || len(c.queue) != 0 || c.queued != 0 {
		t.Errorf("%d still check, %d wait, %d are counted", c.busy, len(c.queue), c.queued)
	}
	u := ed25519User(t, 1)
	sig, _ := u.Sign([]byte("alone"))
	if err := c.Verify(u.PublicKey(), []byte("alone"), sig); err != nil {
		t.Error(err)
	}
	if c.Verify(u.PublicKey(), []byte("alone"), sig[:9]) == nil || c.Verify(nil, nil, nil) == nil {
		t.Error("what has no form was accepted")
	}
	for name, u := range identities(t) {
		m := []byte(name)
		sig, _ := u.Sign(m)
		if err := c.Verify(u.PublicKey(), m, sig); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if err := c.Verify(u.PublicKey(), []byte("x"), sig); err == nil {
			t.Errorf("%s: a wrong one", name)
		}
	}
}
