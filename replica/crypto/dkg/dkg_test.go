package dkg

import (
	"bytes"
	"crypto/sha3"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/consensys/gnark-crypto/ecc/bls12-381/fr"

	"ashlar/replica/crypto/bls"
	"ashlar/replica/ic"
)

// stream is randomness that is the same in each run.
func stream(seed string) io.Reader {
	h := sha3.NewSHAKE128()
	h.Write([]byte(seed))
	return h
}

// person is a node with its keys.
type person struct {
	id     ic.NodeID
	key    *DecryptionKey
	public *EncryptionKey
}

func people(t testing.TB, seed string, n int) []*person {
	t.Helper()
	var out []*person
	for i := range n {
		random := stream(fmt.Sprintf("%s %d", seed, i))
		p := &person{id: ic.NodeID{Principal: ic.SelfAuthenticating(fmt.Appendf(nil, "%s %d", seed, i))}}
		var err error
		if p.key, err = GenerateKey(random, 1); err != nil {
			t.Fatal(err)
		}
		if p.public, err = p.key.Public(random, p.id); err != nil {
			t.Fatal(err)
		}
		out = append(out, p)
	}
	return out
}

func config(tag Tag, dealers, receivers []*person) *Config {
	c := &Config{Subnet: ic.SubnetID{Principal: "subnet"}, Start: 500, Tag: tag, Registry: 7}
	for _, p := range dealers {
		c.Dealers = append(c.Dealers, p.id)
	}
	for _, p := range receivers {
		c.Receivers = append(c.Receivers, p.public)
	}
	return c
}

func session(t testing.TB, c *Config) *Session {
	t.Helper()
	s, err := NewSession(c)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// run deals and combines with the dealers in this order.
func run(t testing.TB, s *Session, order []int, shares []*bls.SecretKey) *Transcript {
	t.Helper()
	var dealings []*Dealing
	for _, i := range order[:s.Needed()] {
		var share *bls.SecretKey
		if shares != nil {
			share = shares[i]
		}
		raw, err := s.Deal(stream(fmt.Sprintf("deal %x %d", s.digest, i)), i, share)
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
	return tr
}

func load(t testing.TB, tr *Transcript, receivers []*person) []*bls.SecretKey {
	t.Helper()
	var out []*bls.SecretKey
	for _, p := range receivers {
		k, err := tr.Load(stream("load"), p.id, p.key)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, k)
	}
	return out
}

// signs lets random holders sign together, as few as are needed.
func signs(t *testing.T, tr *Transcript, keys []*bls.SecretKey, order []int) {
	t.Helper()
	message := []byte("height 501")
	var shares []bls.Share
	for _, i := range order[:tr.Threshold()] {
		shares = append(shares, bls.Share{Index: i, Signature: keys[i].Sign(message)})
	}
	sig, bad, err := tr.Group().Combine(message, shares)
	if err != nil || bad != nil || tr.Group().Key.Verify(message, sig) != nil {
		t.Fatalf("%d of %d cannot sign: %v, bad %v", tr.Threshold(), len(keys), err, bad)
	}
	if _, _, err := tr.Group().Combine(message, shares[1:]); err == nil {
		t.Fatal("one fewer than the threshold signed")
	}
}

// Members drawn at random from more people; what any threshold of them holds is the key.
func TestFreshKeys(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for _, n := range []int{1, 4, 7, 13, 40} {
		pool := people(t, "fresh", n+5)
		for _, tag := range []Tag{Low, High} {
			if n == 40 && (tag == Low || testing.Short()) { // five seconds each
				continue
			}
			dealers, receivers := draw(random, pool, n), draw(random, pool, n)
			tr := run(t, session(t, config(tag, dealers, receivers)), random.Perm(n), nil)
			holders := receivers
			if n > 13 { // all loads would take seconds: as many as sign
				holders = receivers[:tr.Threshold()]
			}
			keys := load(t, tr, holders)
			signs(t, tr, keys, random.Perm(len(keys)))
			if got := reconstruct(t, keys, random.Perm(len(keys))[:tr.Threshold()]); !got.PublicKey().Equal(tr.Group().Key) {
				t.Errorf("n=%d, %s: the shares are not of the key", n, tag)
			}
			if i, ok := tr.Index(receivers[n-1].id); !ok || i != n-1 || tr.Threshold() != tag.Threshold(n) {
				t.Errorf("n=%d: index %d, threshold %d", n, i, tr.Threshold())
			}
		}
	}
}

func draw(random *rand.Rand, pool []*person, n int) (out []*person) {
	for _, i := range random.Perm(len(pool))[:n] {
		out = append(out, pool[i])
	}
	return out
}

// reconstruct the secret key, which nobody does outside of this test.
func reconstruct(t *testing.T, keys []*bls.SecretKey, index []int) *bls.SecretKey {
	t.Helper()
	var sum fr.Element
	for _, i := range index {
		var term, x, d fr.Element
		term.SetBytes(keys[i].Bytes())
		for _, k := range index {
			if k != i {
				x.SetUint64(uint64(k + 1))
				term.Mul(&term, &x)
				d.SetUint64(uint64(i + 1))
				d.Sub(&x, &d).Inverse(&d)
				term.Mul(&term, &d)
			}
		}
		sum.Add(&sum, &term)
	}
	b := sum.Bytes()
	k, err := bls.ParseSecretKey(b[:])
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// The dealers are a subnet, the receivers are in none yet, and there are fewer or more of them.
func TestOtherReceivers(t *testing.T) {
	dealers, receivers := people(t, "nns", 7), people(t, "new", 4)
	c := config(High, dealers, receivers)
	c.Target = [32]byte{1}
	tr := run(t, session(t, c), []int{6, 2, 4}, nil)
	signs(t, tr, load(t, tr, receivers), []int{3, 1, 0})
	if _, err := tr.Load(stream(""), dealers[0].id, dealers[0].key); err != ErrNotReceiver {
		t.Errorf("a dealer loaded a share: %v", err)
	}
}

// A key goes on from 4 nodes to 40 and back, with members that stay and others that are new.
func TestReshare(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 4))
	for tag, sizes := range map[Tag][]int{Low: {4, 7, 4, 1, 4}, High: {4, 7, 4, 1, 4, 13, 40, 13, 4}} {
		if testing.Short() {
			sizes = sizes[:5]
		}
		holders := people(t, "reshare 0", sizes[0])
		first := run(t, session(t, config(tag, holders, holders)), random.Perm(4), nil)
		tr := first
		for step, n := range sizes[1:] {
			next := people(t, fmt.Sprint("reshare ", step+1), n)
			if n >= 7 { // some stay
				copy(next[2:], holders[1:min(3, len(holders))])
			}
			c := config(tag, holders, next)
			c.Previous = tr
			s := session(t, c)
			dealers := random.Perm(len(holders))[:s.Needed()]
			shares := make([]*bls.SecretKey, len(holders))
			for _, i := range dealers {
				shares[i] = load(t, tr, holders[i:i+1])[0]
			}
			again, err := DecodeTranscript(run(t, s, dealers, shares).Bytes())
			if err != nil {
				t.Fatal(err)
			}
			if err := s.Recheck(again); err != nil {
				t.Error(err)
			}
			tr, holders = again, next
			if !tr.Group().Key.Equal(first.Group().Key) {
				t.Fatalf("%s, step %d: another key", tag, step)
			}
			signers := random.Perm(n)[:tr.Threshold()]
			keys := make([]*bls.SecretKey, n)
			for _, i := range signers {
				keys[i] = load(t, tr, holders[i:i+1])[0]
			}
			signs(t, tr, keys, signers)
		}
	}
}

func TestReshareRefused(t *testing.T) {
	a, b := people(t, "a", 4), people(t, "b", 4)
	first := run(t, session(t, config(High, a, a)), []int{0, 1}, nil)
	other := run(t, session(t, config(High, a, a)), []int{2, 1}, nil)
	shares, others := load(t, first, a), load(t, other, a)
	c := config(High, a, b)
	c.Previous = first
	s := session(t, c)
	if _, err := s.Deal(stream("x"), 0, shares[1]); err == nil {
		t.Error("dealt another holder's share")
	}
	if _, err := s.Deal(stream("x"), 0, nil); err == nil {
		t.Error("dealt a fresh secret in a resharing")
	}
	// a dealer that lies about its share: right for all but the previous transcript
	liar := *s
	liar.previous = other
	raw, err := liar.Deal(stream("x"), 0, others[0])
	if err != nil {
		t.Fatal(err)
	}
	if _, err := liar.Verify(0, raw); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Verify(0, raw); err == nil {
		t.Error("another constant term was accepted")
	}
	fresh := session(t, config(High, a, b))
	if _, err := fresh.Deal(stream("x"), 0, shares[0]); err == nil {
		t.Error("dealt a share in a fresh generation")
	}
	for name, spoil := range map[string]func(c *Config){
		"other dealers":   func(c *Config) { c.Dealers[0] = b[0].id },
		"other order":     func(c *Config) { c.Dealers[0], c.Dealers[1] = c.Dealers[1], c.Dealers[0] },
		"a dealer less":   func(c *Config) { c.Dealers = c.Dealers[:3] },
		"another kind":    func(c *Config) { c.Tag = Low },
		"unknown kind":    func(c *Config) { c.Tag, c.Previous = 3, nil },
		"receiver twice":  func(c *Config) { c.Receivers[1] = c.Receivers[0] },
		"no receivers":    func(c *Config) { c.Receivers = nil },
		"receiver no key": func(c *Config) { c.Receivers[2] = nil },
		"no dealers":      func(c *Config) { c.Dealers, c.Previous = nil, nil },
		"dealer twice":    func(c *Config) { c.Dealers[1], c.Previous = c.Dealers[0], nil },
	} {
		c := config(High, a, b)
		c.Previous = first
		spoil(c)
		if _, err := NewSession(c); err == nil {
			t.Errorf("%s: a session", name)
		}
	}
}

// With one node both kinds have one threshold, and are still two keys.
func TestReshareKeepsItsKind(t *testing.T) {
	one := people(t, "kind", 1)
	c := config(Low, one, one)
	c.Previous = run(t, session(t, config(High, one, one)), []int{0}, nil)
	if _, err := NewSession(c); err == nil {
		t.Error("the high key became the low one")
	}
}

func TestCombineRefused(t *testing.T) {
	all := people(t, "combine", 4)
	s := session(t, config(High, all, all))
	c := config(High, all, all)
	c.Start++
	other := session(t, c)
	deal := func(s *Session, i int) *Dealing {
		raw, err := s.Deal(stream(fmt.Sprint(i)), i, nil)
		if err != nil {
			t.Fatal(err)
		}
		d, err := s.Verify(i, raw)
		if err != nil {
			t.Fatal(err)
		}
		return d
	}
	a, b, d, foreign := deal(s, 0), deal(s, 1), deal(s, 3), deal(other, 2)
	for name, ds := range map[string][]*Dealing{"none": nil, "too few": {a}, "twice": {a, a, b}, "another session": {a, foreign}} {
		if _, err := s.Combine(ds); err == nil {
			t.Errorf("%s: combined", name)
		}
	}
	one, err := s.Combine([]*Dealing{d, b, a})
	if err != nil {
		t.Fatal(err)
	}
	two, err := s.Combine([]*Dealing{a, b, d})
	if err != nil || one.Hash() != two.Hash() {
		t.Errorf("the order of dealings matters: %v", err)
	}
	if err := s.Recheck(one); err != nil {
		t.Error(err)
	}
	if err := other.Recheck(one); err == nil || !strings.Contains(err.Error(), "another session") {
		t.Errorf("rechecked in another session: %v", err)
	}
	// dealings in another order, and one twice
	raw := one.Bytes()
	size := 2 + s.shape().size()
	first, second := raw[len(raw)-2*size:len(raw)-size], raw[len(raw)-size:]
	head := raw[:len(raw)-2*size]
	stranger := append([]byte{0, 4}, second[2:]...) // of dealers 0 to 3
	for name, parts := range map[string][][]byte{"order": {head, second, first}, "twice": {head, first, first}, "stranger": {head, first, stranger}, "three": {head, first, second, second}, "one": {head, first}} {
		if _, err := DecodeTranscript(bytes.Join(parts, nil)); err == nil {
			t.Errorf("dealings: %s: decoded", name)
		}
	}
}

// A transcript whose polynomial or dealings were changed is found out by Recheck, and by Load.
func TestTranscriptTampered(t *testing.T) {
	all := people(t, "tampered", 4)
	s := session(t, config(High, all, all))
	tr := run(t, s, []int{0, 1, 2, 3}, nil)
	fake := run(t, session(t, config(High, all, all)), []int{3, 2}, nil)
	raw := tr.Bytes()
	at := 1 + len(tr.header.encode())
	copy(raw[at:], fake.Bytes()[at:at+g2Bytes]) // another public key
	changed, err := DecodeTranscript(raw)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Recheck(changed); err == nil {
		t.Error("rechecked with another key")
	}
	// a randomizer outside of the group, to learn the decryption key modulo a small prime
	raw = tr.Bytes()
	copy(raw[at+3*g2Bytes+2+s.shape().randomizers():], outside(t, g1Bytes))
	if small, err := DecodeTranscript(raw); err != nil {
		t.Fatal(err)
	} else if _, err := small.Load(stream(""), all[0].id, all[0].key); !errors.Is(err, errSubgroup) {
		t.Errorf("a point outside was multiplied by the key: %v", err)
	}
	// Load goes through the exact search and then refuses
	if _, err := changed.Load(stream(""), all[0].id, all[0].key); err == nil {
		t.Error("loaded a share that does not fit")
	}
}

func TestKeys(t *testing.T) {
	p := people(t, "keys", 2)
	raw := p[0].public.Bytes()
	if back, err := ParseEncryptionKey(p[0].id, raw); err != nil || !back.point.Equal(&p[0].public.point) || back.Generation != 1 {
		t.Fatal(err)
	}
	if _, err := ParseEncryptionKey(p[1].id, raw); err == nil {
		t.Error("another node took the key over")
	}
	for i := range raw {
		bad := append([]byte(nil), raw...)
		bad[i] ^= 1
		if _, err := ParseEncryptionKey(p[0].id, bad); err == nil {
			t.Errorf("byte %d changed: accepted", i)
		}
	}
	for _, n := range []int{0, 1, len(raw) - 1} {
		if _, err := ParseEncryptionKey(p[0].id, raw[:n]); err == nil {
			t.Errorf("%d bytes: accepted", n)
		}
	}
	// a key made from another's without its secret cannot take over the proof
	stolen := append([]byte(nil), raw...)
	stolen[9] ^= 0x20 // the negative of the key
	if _, err := ParseEncryptionKey(p[0].id, stolen); err == nil {
		t.Error("the negative key was accepted")
	}
	for _, at := range []int{9, 9 + g1Bytes} { // the key, the proof's point
		bad := append([]byte(nil), raw...)
		copy(bad[at:], outside(t, g1Bytes))
		if _, err := ParseEncryptionKey(p[0].id, bad); !errors.Is(err, errSubgroup) {
			t.Errorf("a point outside: %v", err)
		}
	}
	secret := p[0].key.Bytes()
	if k, err := ParseDecryptionKey(secret); err != nil || !k.x.Equal(&p[0].key.x) || k.Generation != 1 {
		t.Error(err)
	}
	if _, err := ParseDecryptionKey(make([]byte, DecryptionKeyBytes)); err == nil {
		t.Error("zero was accepted")
	}
	if _, err := ParseDecryptionKey(secret[1:]); err == nil {
		t.Error("a short secret was accepted")
	}
	p[0].key.Erase()
	defer func() {
		if recover() == nil {
			t.Error("an erased key was used")
		}
	}()
	p[0].key.Public(stream(""), p[0].id)
}

// After a rotation the old key opens old transcripts until it is erased.
func TestRotation(t *testing.T) {
	all := people(t, "rotation", 4)
	tr := run(t, session(t, config(Low, all, all)), []int{0, 1}, nil)
	next, err := GenerateKey(stream("next"), 2)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tr.Load(stream(""), all[0].id, next); err != ErrNoKey {
		t.Errorf("with the new key: %v", err)
	}
	if _, err := tr.Load(stream(""), all[0].id, next, all[0].key); err != nil {
		t.Errorf("with both: %v", err)
	}
}

// The same randomness makes the same dealing; a broken source is reported.
func TestDeterministic(t *testing.T) {
	all := people(t, "deterministic", 4)
	s := session(t, config(High, all, all))
	a, err := s.Deal(stream("x"), 1, nil)
	if err != nil {
		t.Fatal(err)
	}
	b, err := s.Deal(stream("x"), 1, nil)
	if err != nil || string(a) != string(b) {
		t.Errorf("another dealing: %v", err)
	}
	if len(a) != DealingBytes(4, 3) {
		t.Errorf("%d bytes", len(a))
	}
	for name, random := range map[string]io.Reader{"zeros": repeat(0), "ones": repeat(0xff), "ends": io.LimitReader(stream(""), 700)} {
		if _, err := s.Deal(random, 0, nil); err == nil {
			t.Errorf("%s: dealt", name)
		}
	}
	if _, err := s.Deal(stream("x"), 4, nil); err == nil {
		t.Error("a dealer outside dealt")
	}
	if _, err := s.Verify(4, a); err == nil {
		t.Error("a dealer outside was verified")
	}
}

type repeat byte

func (r repeat) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = byte(r)
	}
	return len(p), nil
}

func TestThresholds(t *testing.T) {
	for _, c := range []struct{ n, low, high int }{{1, 1, 1}, {2, 1, 2}, {3, 1, 3}, {4, 2, 3}, {7, 3, 5}, {13, 5, 9}, {40, 14, 27}} {
		if Low.Threshold(c.n) != c.low || High.Threshold(c.n) != c.high {
			t.Errorf("n=%d: %d, %d", c.n, Low.Threshold(c.n), High.Threshold(c.n))
		}
	}
}

func TestSlackFits(t *testing.T) {
	s, z := slack(MaxNodes)
	if z+s >= 1<<63/4 || z != 64*s || s != uint64(MaxNodes)*16*65535*255 {
		t.Error(s, z)
	}
}
