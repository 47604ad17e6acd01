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

// Batch is a Verifier for many requests, one after the other, that puts off what can be
// checked together:
//
//	Next ── Verify, Verify, ... ── Next ── Verify ... ── Wrong: which requests
//
// Verify returns nil for an Ed25519 signature of the right form; only Wrong tells what
// it is worth.
type Batch struct {
	*Verifier
	sigs eddsa.Batch
	of   []int // request of each
	at   int
	bad  map[int]bool
}

// NewBatch of requests.
func (v *Verifier) NewBatch() *Batch { return &Batch{Verifier: v, at: -1, bad: map[int]bool{}} }

// Next request: they are numbered from 0.
func (b *Batch) Next() { b.at++ }

// Verify a signature of this request, now or later.
func (b *Batch) Verify(der, message, sig []byte) error {
	key, ok, err := ed25519Key(der)
	if err != nil {
		return err
	}
	if !ok {
		return b.Verifier.Verify(der, message, sig)
	}
	if err := ed25519Form(key, sig); err != nil {
		return err
	}
	b.sigs.Add(key, message, sig)
	b.of = append(b.of, b.at)
	if b.sigs.Len() == eddsa.MaxBatch {
		b.settle()
	}
	return nil
}

func (b *Batch) settle() {
	for i, ok := range b.sigs.Verify() {
		if !ok {
			b.bad[b.of[i]] = true
		}
	}
	b.of = b.of[:0]
}

// Wrong tells which requests have a signature that is none, as an error for each.
func (b *Batch) Wrong() map[int]error {
	b.settle()
	out := map[int]error{}
	for i := range b.bad {
		out[i] = errSignature
	}
	return out
}

// Crowd is a Verifier for many goroutines. Ed25519 signatures that come at the same time
// are checked together, and one that comes alone at once.
//
//	Verify ──> queue ──┬── the first one lets others come, takes what is there, tells all
//	Verify ──> queue ──┘
type Crowd struct {
	*Verifier
	mu    sync.Mutex
	queue []*waiting
	busy  int // goroutines that check
}

type waiting struct {
	key, message, sig []byte
	told              chan verdict // has room for a turn and the result
	called            bool
}

type verdict byte

const (
	wrong verdict = iota
	right
	yourTurn // to check what is in the queue
)

// Verify returns nil if sig is the signature on message by the key.
func (c *Crowd) Verify(der, message, sig []byte) error {
	key, ok, err := ed25519Key(der)
	if err != nil {
		return err
	}
	if !ok {
		return c.Verifier.Verify(der, message, sig)
	}
	if err := ed25519Form(key, sig); err != nil {
		return err
	}
	w := &waiting{key: key, message: message, sig: sig, told: make(chan verdict, 2)}
	c.mu.Lock()
	c.queue = append(c.queue, w)
	lead := c.busy < runtime.GOMAXPROCS(0)
	if lead {
		c.busy++
	}
	c.mu.Unlock()
	if lead {
		runtime.Gosched() // whoever is about to come comes
		c.check()
	}
	for {
		switch <-w.told {
		case right:
			return nil
		case wrong:
			return errSignature
		}
		c.check()
	}
}

// check what is in the queue, and leave the rest to another.
func (c *Crowd) check() {
	c.mu.Lock()
	n := min(len(c.queue), eddsa.MaxBatch)
	list := c.queue[:n:n]
	c.queue = c.queue[n:]
	c.mu.Unlock()
	var b eddsa.Batch
	for _, w := range list {
		b.Add(w.key, w.message, w.sig)
	}
	for i, ok := range b.Verify() {
		v := wrong
		if ok {
			v = right
		}
		list[i].told <- v
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.queue) > 0 && !c.queue[0].called {
		c.queue[0].called = true
		c.queue[0].told <- yourTurn
		return
	}
	c.busy--
}
