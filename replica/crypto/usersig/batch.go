package usersig

import (
	"bytes"
	"crypto/ed25519"
	"runtime"
	"sync"

	"ashlar/replica/crypto/eddsa"
)

// ed25519Head is what the one DER form of an Ed25519 key begins with (RFC 8410).
var ed25519Head = []byte{0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00}

// ed25519Key reads a key of that algorithm; ok is false for one of another.
func ed25519Key(der []byte) (key []byte, ok bool, err error) {
	if key, ok = bytes.CutPrefix(der, ed25519Head); ok && len(key) == ed25519.PublicKeySize {
		return key, true, nil
	}
	k, err := parseSPKI(der)
	if err != nil || !k.Algorithm.Algorithm.Equal(oidEd25519) {
		return nil, false, err
	}
	return k.Key.Bytes, true, k.noParameters()
}

// Crowd is a Verifier for many goroutines. Ed25519 signatures that come at the same time
// are checked together, and one that comes alone at once. Under load all processors are
// busy, more come while some are checked, and each costs less.
//
//	Verify ──────────────────> queue ──┬── the first one lets others come, takes what is
//	NewBatch, Verify..., Wrong > queue ──┘   there, tells all
type Crowd struct {
	*Verifier
	mu     sync.Mutex
	queue  []*group
	queued int // signatures in it
	busy   int // goroutines that check
}

// group of signatures that one goroutine waits for.
type group struct {
	sigs   []signature
	bad    []int     // which are wrong
	told   chan bool // has room for a turn to check the queue, false, and the end, true
	called bool
}

type signature struct{ key, message, sig []byte }

// Verify returns nil if sig is the signature on message by the key.
func (c *Crowd) Verify(der, message, sig []byte) error {
	s, ok, err := c.split(der, message, sig)
	if ok && len(c.check(s)) > 0 {
		return errSignature
	}
	return err
}

// split off what can be checked together; ok is false for all else, which is checked at once.
func (c *Crowd) split(der, message, sig []byte) (s signature, ok bool, err error) {
	key, ok, err := ed25519Key(der)
	if err != nil {
		return s, false, err
	}
	if !ok {
		return s, false, c.Verifier.Verify(der, message, sig)
	}
	if err := ed25519Form(key, sig); err != nil {
		return s, false, err
	}
	return signature{key, message, sig}, true, nil
}

// check signatures, with all others that are here, and tell which are wrong.
func (c *Crowd) check(sigs ...signature) (bad []int) {
	g := &group{sigs: sigs, told: make(chan bool, 2)}
	c.mu.Lock()
	c.queue = append(c.queue, g)
	c.queued += len(sigs)
	lead := c.busy == 0 || c.queued >= eddsa.MaxBatch && c.busy < runtime.GOMAXPROCS(0)
	if lead {
		c.busy++
	}
	c.mu.Unlock()
	if lead {
		runtime.Gosched() // whoever is about to come comes
		c.lead()
	}
	for !<-g.told {
		c.lead()
	}
	return g.bad
}

// lead checks what is in the queue, and leaves the rest to another.
func (c *Crowd) lead() {
	c.mu.Lock()
	var list []*group
	n := 0
	for len(c.queue) > 0 && n < eddsa.MaxBatch {
		n += len(c.queue[0].sigs)
		list, c.queue = append(list, c.queue[0]), c.queue[1:]
	}
	c.queued -= n
	c.mu.Unlock()
	var b eddsa.Batch
	for _, g := range list {
		for _, s := range g.sigs {
			b.Add(s.key, s.message, s.sig)
		}
	}
	ok := b.Verify()
	for _, g := range list {
		for i := range g.sigs {
			if !ok[i] {
				g.bad = append(g.bad, i)
			}
		}
		ok = ok[len(g.sigs):]
		g.told <- true
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.queue) > 0 && !c.queue[0].called {
		c.queue[0].called = true
		c.queue[0].told <- false
		return
	}
	c.busy--
}

// Batch is a Verifier for many requests, one after the other, that puts off what can be
// checked together:
//
//	Next ── Verify, Verify, ... ── Next ── Verify ... ── Wrong: which requests
//
// Verify returns nil for an Ed25519 signature of the right form; only Wrong tells what
// it is worth.
type Batch struct {
	*Crowd
	sigs []signature
	of   []int // request of each
	at   int
}

// NewBatch of requests.
func (c *Crowd) NewBatch() *Batch { return &Batch{Crowd: c, at: -1} }

// Next request: they are numbered from 0.
func (b *Batch) Next() { b.at++ }

// Verify a signature of this request, now or later.
func (b *Batch) Verify(der, message, sig []byte) error {
	s, ok, err := b.split(der, message, sig)
	if ok {
		b.sigs, b.of = append(b.sigs, s), append(b.of, b.at)
	}
	return err
}

// Wrong tells which requests have a signature that is none, as an error for each.
func (b *Batch) Wrong() map[int]error {
	out := map[int]error{}
	if len(b.sigs) == 0 {
		return out
	}
	for _, i := range b.check(b.sigs...) {
		out[b.of[i]] = errSignature
	}
	b.sigs, b.of = nil, nil
	return out
}
