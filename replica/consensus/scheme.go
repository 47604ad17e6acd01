package consensus

import (
	"crypto/ed25519"
	"errors"
	"io"

	"ashlar/replica/crypto/bls"
	"ashlar/replica/crypto/dkg"
	"ashlar/replica/crypto/eddsa"
	"ashlar/replica/ic"
	"ashlar/replica/wire/block"
)

// Scheme is how signatures are checked and joined, and keys made. Networks have
// Real; replica/sim plays millions of rounds with one that costs less and keeps its
// structure: who lacks a key can not sign, and a group signs with enough of its
// holders only.
type Scheme interface {
	// Vote checks a member's signature.
	Vote(key ed25519.PublicKey, message, sig []byte) error
	// Key reads what Key.Bytes made.
	Key(transcript []byte) (Key, error)
	// Session of a key generation.
	Session(d *Deal) (Session, error)
}

// Key of a group, as everybody knows it: a transcript of its generation.
type Key interface {
	Bytes() []byte
	Hash() [32]byte
	Holders() int
	Threshold() int
	Verify(message, sig []byte) error
	// Agree joins shares that prove each other, as long as at most spare of the
	// holders are faulty and each share is its holder's: bls.Group.Agree.
	Agree(message []byte, shares []bls.Share, spare int) (sig []byte, ok bool)
	// Combine joins shares, and names those that do not match.
	Combine(message []byte, shares []bls.Share) (sig []byte, bad []int, err error)
	// Load decrypts a holder's share with one of its keys.
	Load(random io.Reader, node ic.NodeID, keys ...*dkg.DecryptionKey) (*bls.SecretKey, error)
}

// Deal is all that a key generation is for.
type Deal struct {
	Subnet    ic.SubnetID
	Target    block.Hash // zero: this subnet
	Start     ic.Height  // of the interval in which it is dealt
	High      bool       // the key for certificates, which is reshared; else a fresh one
	Registry  uint64
	Dealers   []ic.NodeID
	Receivers []block.Receiver
	Previous  Key // nil: a fresh key
}

// Session makes and joins dealings. It is immutable: many goroutines may use it.
type Session interface {
	Needed() int // dealings that make a key
	// Deal makes a dealing: of a share of the previous key, nil for a fresh one.
	Deal(random io.Reader, dealer int, share *bls.SecretKey) ([]byte, error)
	Verify(dealer int, raw []byte) (Dealing, error)
	Combine(dealings []Dealing) (Key, error)
}

// Dealing is one that Verify accepted.
type Dealing any

// Real is Ed25519, BLS and NiDKG.
type Real struct{}

var errVote = errors.New("the signature does not match")

// Vote checks an Ed25519 signature.
func (Real) Vote(key ed25519.PublicKey, message, sig []byte) error {
	if !eddsa.Verify(key, message, sig) {
		return errVote
	}
	return nil
}

// Key is a transcript of NiDKG.
func (Real) Key(transcript []byte) (Key, error) {
	t, err := dkg.DecodeTranscript(transcript)
	if err != nil {
		return nil, err
	}
	return realKey{t}, nil
}

// Session is one of NiDKG.
func (Real) Session(d *Deal) (Session, error) {
	cfg := &dkg.Config{Subnet: d.Subnet, Target: d.Target, Start: d.Start, Tag: dkg.Low, Registry: d.Registry, Dealers: d.Dealers}
	if d.High {
		cfg.Tag = dkg.High
	}
	for _, r := range d.Receivers {
		k, err := dkg.ParseEncryptionKey(r.Node, r.Encryption)
		if err != nil {
			return nil, err
		}
		cfg.Receivers = append(cfg.Receivers, k)
	}
	if d.Previous != nil {
		cfg.Previous = d.Previous.(realKey).Transcript
	}
	s, err := dkg.NewSession(cfg)
	if err != nil {
		return nil, err
	}
	return realSession{s}, nil
}

type realKey struct{ *dkg.Transcript }

func (k realKey) Holders() int                     { return len(k.Group().Holders) }
func (k realKey) Verify(message, sig []byte) error { return k.Group().Key.Verify(message, sig) }
func (k realKey) Agree(_ []byte, shares []bls.Share, spare int) ([]byte, bool) {
	return k.Group().Agree(shares, spare)
}
func (k realKey) Combine(message []byte, shares []bls.Share) ([]byte, []int, error) {
	return k.Group().Combine(message, shares)
}

// GroupOf is the group behind a key of Real.
func GroupOf(k Key) *bls.Group { return k.(realKey).Group() }

type realSession struct{ *dkg.Session }

func (s realSession) Verify(dealer int, raw []byte) (Dealing, error) {
	return s.Session.Verify(dealer, raw)
}

func (s realSession) Combine(dealings []Dealing) (Key, error) {
	list := make([]*dkg.Dealing, len(dealings))
	for i, d := range dealings {
		list[i] = d.(*dkg.Dealing)
	}
	t, err := s.Session.Combine(list)
	if err != nil {
		return nil, err
	}
	return realKey{t}, nil
}
