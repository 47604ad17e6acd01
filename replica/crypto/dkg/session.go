package dkg

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"

	curve "github.com/consensys/gnark-crypto/ecc/bls12-381"

	"ashlar/replica/ic"
)

const configVersion = 1

// Config is everything that a dealing is for. All of it is bound by the proofs: a
// dealing of one session is refused in every other.
type Config struct {
	Subnet    ic.SubnetID      // whose nodes deal
	Target    [32]byte         // names the key made for another subnet; zero: for this one
	Start     ic.Height        // of the interval in which it is dealt
	Tag       Tag              // decides the threshold among the receivers
	Registry  uint64           // version that members and keys are read at
	Dealers   []ic.NodeID      // a dealer's index is its place here
	Receivers []*EncryptionKey // receiver i holds the value at i+1
	Previous  *Transcript      // nil: a fresh key; else its receivers deal their shares of it
}

// Session is a checked Config.
type Session struct {
	header
	receivers []curve.G1Affine
	previous  *Transcript
	digest    [32]byte
}

// header is the session as it is hashed, and kept in a transcript.
type header struct {
	subnet   []byte
	target   [32]byte
	start    uint64
	tag      Tag
	registry uint64
	dealers  [][]byte
	nodes    [][]byte // the receivers
	keys     [][]byte // theirs, compressed
	previous [32]byte // hash of the transcript that is reshared; zero: none
	needed   int      // dealings
}

// NewSession checks that the parts of cfg belong together.
func NewSession(cfg *Config) (*Session, error) {
	s := &Session{previous: cfg.Previous, header: header{subnet: cfg.Subnet.Bytes(), target: cfg.Target,
		start: uint64(cfg.Start), tag: cfg.Tag, registry: cfg.Registry}}
	for _, d := range cfg.Dealers {
		s.dealers = append(s.dealers, d.Bytes())
	}
	for _, r := range cfg.Receivers {
		if r == nil {
			return nil, errors.New("key generation: a receiver has no encryption key")
		}
		p := r.point.Bytes()
		s.nodes, s.keys = append(s.nodes, r.Node.Bytes()), append(s.keys, p[:])
		s.receivers = append(s.receivers, r.point)
	}
	s.needed = Faults(len(s.dealers)) + 1
	if p := cfg.Previous; p != nil {
		s.header.previous, s.needed = p.Hash(), p.Threshold()
		if p.tag != s.tag || !equal(p.nodes, s.dealers) {
			return nil, errors.New("key generation: the dealers of a resharing must be the receivers of the previous transcript in their order, for the same kind of key")
		}
	}
	if err := s.header.check(); err != nil {
		return nil, fmt.Errorf("key generation: %w", err)
	}
	s.digest = s.header.digest()
	return s, nil
}

// Needed is the number of dealings that make a transcript: one more than faulty
// nodes deal, so one at least is secret; or the threshold of the key that is reshared.
func (s *Session) Needed() int { return s.needed }

// Threshold of the key that is made.
func (h *header) Threshold() int { return h.tag.Threshold(len(h.nodes)) }

func (h *header) shape() shape { return shape{len(h.nodes), h.Threshold()} }

func (h *header) check() error {
	if h.tag != Low && h.tag != High {
		return fmt.Errorf("unknown kind of key: %d", h.tag)
	}
	for _, c := range []struct {
		of    string
		names [][]byte
	}{{"dealers", h.dealers}, {"receivers", h.nodes}, {"receivers' keys", h.keys}} {
		if len(c.names) < 1 || len(c.names) > MaxNodes {
			return fmt.Errorf("%d %s: there must be 1 to %d", len(c.names), c.of, MaxNodes)
		}
		seen := map[string]bool{}
		for _, n := range c.names {
			if seen[string(n)] {
				return fmt.Errorf("%x is twice among the %s", n, c.of)
			}
			seen[string(n)] = true
		}
	}
	if fresh := h.previous == [32]byte{}; h.needed < 1 || h.needed > len(h.dealers) || fresh && h.needed != Faults(len(h.dealers))+1 ||
		!fresh && h.needed != h.tag.Threshold(len(h.dealers)) {
		return fmt.Errorf("%d dealings of %d dealers do not fit this kind of key", h.needed, len(h.dealers))
	}
	return nil
}

func equal(a, b [][]byte) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if !bytes.Equal(a[i], b[i]) {
			return false
		}
	}
	return true
}

func (h *header) encode() []byte {
	var w writer
	w.u8(configVersion)
	w.name(h.subnet)
	w.raw(h.target[:])
	w.u64(h.start)
	w.u8(uint8(h.tag))
	w.u64(h.registry)
	w.u16(len(h.dealers))
	for _, d := range h.dealers {
		w.name(d)
	}
	w.u16(len(h.nodes))
	for i := range h.nodes {
		w.name(h.nodes[i])
		w.raw(h.keys[i])
	}
	w.u16(h.Threshold())
	w.u16(h.needed)
	w.raw(h.previous[:])
	return w
}

func decodeHeader(r *reader) (*header, error) {
	h := &header{}
	if v := r.u8(); r.err == nil && v != configVersion {
		return nil, fmt.Errorf("has format version %d, this node knows %d", v, configVersion)
	}
	h.subnet = r.name()
	copy(h.target[:], r.take(32))
	h.start = r.u64()
	h.tag = Tag(r.u8())
	h.registry = r.u64()
	for range r.count("dealers") {
		h.dealers = append(h.dealers, r.name())
	}
	for range r.count("receivers") {
		h.nodes = append(h.nodes, r.name())
		h.keys = append(h.keys, r.take(g1Bytes))
	}
	threshold := r.u16()
	h.needed = r.u16()
	copy(h.previous[:], r.take(32))
	if r.err != nil {
		return nil, r.err
	}
	if err := h.check(); err != nil {
		return nil, err
	}
	if threshold != h.Threshold() {
		return nil, fmt.Errorf("has a threshold of %d of %d for the %s key, it must be %d", threshold, len(h.nodes), h.tag, h.Threshold())
	}
	return h, nil
}

func (h *header) digest() [32]byte {
	d := sha256.New()
	d.Write([]byte(domain + "session"))
	d.Write(h.encode())
	return [32]byte(d.Sum(nil))
}
