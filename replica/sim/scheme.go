package sim

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"

	"ashlar/replica/consensus"
	"ashlar/replica/crypto/bls"
	"ashlar/replica/crypto/dkg"
	"ashlar/replica/crypto/keystore"
	"ashlar/replica/ic"
	"ashlar/replica/wire/block"
	"ashlar/replica/wire/cbor"
)

// cheap is a scheme of hashes. It is as honest as the real one to those who have
// only Keys and Scheme: a signature needs the signer's Keys, a group's signature
// as many good shares as its threshold, a key as many good dealings.
type cheap struct {
	seed  uint64
	votes map[string]uint64 // secret by public key
	nodes map[ic.NodeID]uint64
	few   bool // a bug: keys need too few shares
}

var errCheap = errors.New("the signature does not match")

func (c *cheap) tag(what byte, secret uint64, of []byte, message []byte, size int) []byte {
	var head [17]byte
	head[0] = what
	binary.LittleEndian.PutUint64(head[1:], c.seed)
	binary.LittleEndian.PutUint64(head[9:], secret)
	var room [384]byte
	h := sha256.Sum256(append(append(append(room[:0], head[:]...), of...), message...))
	out := make([]byte, size)
	copy(out, h[:])
	return out
}

// Vote checks what cheapKeys.Vote made.
func (c *cheap) Vote(key ed25519.PublicKey, message, sig []byte) error {
	secret, ok := c.votes[string(key)]
	if !ok || !bytes.Equal(sig, c.tag('v', secret, nil, message, voteBytes)) {
		return errCheap
	}
	return nil
}

// cheapKey is a transcript: who holds it.
type cheapKey struct {
	scheme *cheap
	raw    []byte
	hash   [32]byte
	cheapContent
}

type cheapContent struct {
	High    bool        `cbor:"1,keyasint"`
	Session []byte      `cbor:"2,keyasint"`
	Nodes   []ic.NodeID `cbor:"3,keyasint"`
	Dealers []uint64    `cbor:"4,keyasint"`
	Broken  bool        `cbor:"5,keyasint,omitempty"` // a dealing was bad: nobody's share matches
}

// Key reads a transcript.
func (c *cheap) Key(transcript []byte) (consensus.Key, error) {
	k := &cheapKey{scheme: c, raw: transcript, hash: sha256.Sum256(transcript)}
	return k, cbor.Unmarshal(transcript, &k.cheapContent)
}

func (k *cheapKey) Bytes() []byte  { return k.raw }
func (k *cheapKey) Hash() [32]byte { return k.hash }
func (k *cheapKey) Holders() int   { return len(k.Nodes) }

// Threshold is that of the real keys.
func (k *cheapKey) Threshold() int {
	n := len(k.Nodes)
	switch {
	case k.scheme.few:
		return max(consensus.Faults(n), 1)
	case k.High:
		return consensus.Quorum(n)
	}
	return consensus.Faults(n) + 1
}

// group is the whole signature: of the subnet's key, which stays, or of a fresh one.
func (k *cheapKey) group(message []byte) []byte {
	if k.High {
		return k.scheme.tag('g', 0, nil, message, groupBytes)
	}
	return k.scheme.tag('g', 1, k.hash[:], message, groupBytes)
}

func (k *cheapKey) share(secret uint64, message []byte) []byte {
	if k.Broken {
		return k.scheme.tag('b', secret, k.hash[:], message, groupBytes)
	}
	if len(k.Nodes) == 1 {
		return k.group(message)
	}
	return k.scheme.tag('s', secret, k.hash[:], message, groupBytes)
}

// Verify checks what Combine made.
func (k *cheapKey) Verify(message, sig []byte) error {
	if !bytes.Equal(sig, k.group(message)) {
		return errCheap
	}
	return nil
}

// Agree is for shares that are all good: more of them than are needed.
func (k *cheapKey) Agree(message []byte, shares []bls.Share, spare int) ([]byte, bool) {
	sig, bad, err := k.Combine(message, shares)
	return sig, err == nil && len(bad) == 0 && len(shares) >= k.Threshold()+spare
}

// Combine needs enough shares that match.
func (k *cheapKey) Combine(message []byte, shares []bls.Share) (sig []byte, bad []int, err error) {
	good := 0
	for _, s := range shares {
		if k.Broken {
			bad = append(bad, s.Index)
			continue
		}
		if s.Index < 0 || s.Index >= len(k.Nodes) {
			return nil, nil, errors.New("a share of nobody")
		}
		if bytes.Equal(s.Signature, k.share(k.scheme.nodes[k.Nodes[s.Index]], message)) {
			good++
		} else {
			bad = append(bad, s.Index)
		}
	}
	if good < k.Threshold() {
		return nil, bad, errors.New("not enough good shares")
	}
	return k.group(message), bad, nil
}

// Load is not how cheapKeys come to a share.
func (k *cheapKey) Load(io.Reader, ic.NodeID, ...*dkg.DecryptionKey) (*bls.SecretKey, error) {
	return nil, dkg.ErrNoKey
}

// cheapSession makes dealings that are hashes of what they are for.
type cheapSession struct {
	scheme *cheap
	deal   consensus.Deal
	digest [32]byte
}

// Session of a key generation.
func (c *cheap) Session(d *consensus.Deal) (consensus.Session, error) {
	h := sha256.New()
	fmt.Fprint(h, d.Subnet, d.Target, d.Start, d.High, d.Registry, d.Dealers, d.Receivers)
	if p, ok := d.Previous.(*cheapKey); ok {
		h.Write(p.hash[:])
		if !slices.Equal(p.Nodes, d.Dealers) {
			return nil, errors.New("the dealers do not hold what is reshared")
		}
	}
	return &cheapSession{c, *d, [32]byte(h.Sum(nil))}, nil
}

// Needed is as for real keys.
func (s *cheapSession) Needed() int {
	if s.deal.Previous != nil {
		return s.deal.Previous.Threshold()
	}
	return consensus.Faults(len(s.deal.Dealers)) + 1
}

// Deal has no secrets in it: who signs the dealing is what counts here.
func (s *cheapSession) Deal(_ io.Reader, dealer int, _ *bls.SecretKey) ([]byte, error) {
	return s.scheme.tag('d', s.scheme.nodes[s.deal.Dealers[dealer]], s.digest[:], nil, 64+32*len(s.deal.Receivers)), nil
}

// Verify takes what Deal made.
func (s *cheapSession) Verify(dealer int, raw []byte) (consensus.Dealing, error) {
	if want, _ := s.Deal(nil, dealer, nil); !bytes.Equal(want, raw) {
		return nil, fmt.Errorf("the dealing of dealer %d is bad", dealer)
	}
	return dealer, nil
}

// Combine needs enough dealings.
func (s *cheapSession) Combine(dealings []consensus.Dealing) (consensus.Key, error) {
	if len(dealings) < s.Needed() {
		return nil, fmt.Errorf("%d dealings, %d are needed", len(dealings), s.Needed())
	}
	k := cheapContent{High: s.deal.High, Session: s.digest[:]}
	for _, r := range s.deal.Receivers {
		k.Nodes = append(k.Nodes, r.Node)
	}
	for _, d := range dealings {
		k.Dealers = append(k.Dealers, uint64(d.(int)))
	}
	slices.Sort(k.Dealers)
	k.Dealers = k.Dealers[:s.Needed()]
	return s.scheme.Key(cbor.Marshal(k))
}

// cheapKeys sign for one node.
type cheapKeys struct {
	*keystore.Keys
	scheme *cheap
	secret uint64
	held   map[[32]byte]*cheapKey
	used   bool
}

// Vote is the node's own signature.
func (k *cheapKeys) Vote(message []byte) []byte {
	return k.scheme.tag('v', k.secret, nil, message, voteBytes)
}

// Share of a key that is kept.
func (k *cheapKeys) Share(key [32]byte, message []byte) []byte {
	if held := k.held[key]; held != nil {
		return held.share(k.secret, message)
	}
	return nil
}

// Deal needs the share that is dealt.
func (k *cheapKeys) Deal(s consensus.Session, dealer int, previous [32]byte) ([]byte, error) {
	if previous != [32]byte{} && k.held[previous] == nil {
		return nil, keystore.ErrNoShare
	}
	return s.Deal(nil, dealer, nil)
}

// MarkUsed notes that the node signs from now on.
func (k *cheapKeys) MarkUsed() error {
	k.used = true
	return nil
}

// Used tells whether it may have signed before.
func (k *cheapKeys) Used() bool { return k.used }

// Keep is durable: the keys of a node outlive its crashes.
func (k *cheapKeys) Keep(keys []consensus.Key) (lost, err error) {
	k.held = map[[32]byte]*cheapKey{}
	for _, key := range keys {
		mine, ok := key.(*cheapKey)
		if !ok {
			mine = key.(oddKey).cheapKey
		}
		if slices.Contains(mine.Nodes, k.NodeID()) {
			k.held[mine.hash] = mine
		}
	}
	return nil, nil
}

// receiver is a node as the registry names it.
func receiver(k *keystore.Keys, random io.Reader) (block.Receiver, error) {
	e, err := k.EncryptionKey(random)
	if err != nil {
		return block.Receiver{}, err
	}
	return block.Receiver{Member: block.Member{Node: k.NodeID(), Key: k.NodeKey()}, Encryption: e.Bytes()}, nil
}
