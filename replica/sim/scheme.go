package sim

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"math/rand/v2"
	"slices"
	"sync"

	"ashlar/replica/consensus"
	"ashlar/replica/crypto/bls"
	"ashlar/replica/crypto/keystore"
	"ashlar/replica/ic"
	"ashlar/replica/node"
)

// identities are the keys of a subnet's nodes, and what checks them.
type identities struct {
	group  *bls.Group
	keys   []node.Keys
	public []consensus.Member
	der    [][]byte
	scheme consensus.Scheme
}

// signatures have the sizes of the real ones, so that traffic has too.
const voteBytes, groupBytes = ed25519.SignatureSize, bls.SignatureBytes

// dealt are the keys of subnets of each size: to make them takes longer than to
// play a seed, and a seed does not depend on them.
var dealt struct {
	sync.Mutex
	subnets map[[2]int]*identities
}

// deal gives n nodes their keys. Where crypto is not real, signatures are hashes
// with a secret that the scheme knows too.
func deal(n, threshold int, seed uint64, realCrypto bool) (*identities, error) {
	ids, err := dealReal(n, threshold)
	if err != nil || realCrypto {
		return ids, err
	}
	c := &cheap{seed: seed, votes: map[string]uint64{}, holders: map[string]uint64{}}
	out := &identities{group: ids.group, public: ids.public, der: ids.der, scheme: c}
	if n == 1 {
		c.alone = ids.group.Key
	}
	for i := range n {
		c.votes[string(ids.public[i].Key)] = uint64(i)
		c.holders[string(ids.group.Holders[i].Bytes())] = uint64(i)
		out.keys = append(out.keys, &cheapKeys{Keys: ids.keys[i].(*keystore.Keys), scheme: c, secret: uint64(i)})
	}
	return out, nil
}

func dealReal(n, threshold int) (*identities, error) {
	dealt.Lock()
	defer dealt.Unlock()
	at := [2]int{n, threshold}
	if ids := dealt.subnets[at]; ids != nil {
		return ids, nil
	}
	group, shares, err := bls.Deal(rand.NewChaCha8([32]byte{byte(n), byte(threshold)}), threshold, n)
	if err != nil {
		return nil, err
	}
	ids := &identities{scheme: consensus.Real{}, group: &bls.Group{Key: group.Key, Threshold: threshold, Holders: make([]*bls.PublicKey, n)}}
	// Members are in order of their ids, wherever they come from.
	all := make([]*keystore.Keys, n)
	for i := range all {
		all[i] = keystore.FromSeeds([32]byte{byte(i + 1), 's'}, shares[i])
	}
	order := make([]int, n)
	for i := range order {
		order[i] = i
	}
	slices.SortFunc(order, func(a, b int) int { return bytes.Compare(all[a].NodeID().Bytes(), all[b].NodeID().Bytes()) })
	for place, i := range order {
		k := keystore.FromSeeds([32]byte{byte(i + 1), 's'}, shares[place])
		ids.keys = append(ids.keys, k)
		ids.group.Holders[place] = group.Holders[place]
		ids.public = append(ids.public, consensus.Member{Node: k.NodeID(), Key: k.NodeKey()})
		ids.der = append(ids.der, k.NodeDER())
	}
	if dealt.subnets == nil {
		dealt.subnets = map[[2]int]*identities{}
	}
	dealt.subnets[at] = ids
	return ids, nil
}

// cheap is a scheme of hashes. It is as honest as the real one to those who have
// only Keys and Scheme: a signature needs the signer's Keys, a group's signature
// as many good shares as its threshold.
type cheap struct {
	seed    uint64
	alone   *bls.PublicKey    // of a group of one, whose share is the whole signature
	votes   map[string]uint64 // secret by public key
	holders map[string]uint64
}

var errCheap = errors.New("the signature does not match")

func (c *cheap) tag(what byte, secret uint64, message []byte, size int) []byte {
	var head [17]byte
	head[0] = what
	binary.LittleEndian.PutUint64(head[1:], c.seed)
	binary.LittleEndian.PutUint64(head[9:], secret)
	var room [256]byte
	h := sha256.Sum256(append(append(room[:0], head[:]...), message...))
	out := make([]byte, size)
	copy(out, h[:])
	return out
}

// Vote checks what cheapKeys.Vote made.
func (c *cheap) Vote(key ed25519.PublicKey, message, sig []byte) error {
	secret, ok := c.votes[string(key)]
	if !ok || !bytes.Equal(sig, c.tag('v', secret, message, voteBytes)) {
		return errCheap
	}
	return nil
}

// Verify checks what Combine made.
func (c *cheap) Verify(key *bls.PublicKey, message, sig []byte) error {
	if !bytes.Equal(sig, c.group(key, message)) {
		return errCheap
	}
	return nil
}

func (c *cheap) group(key *bls.PublicKey, message []byte) []byte {
	return c.tag('g', 0, append(key.Bytes(), message...), groupBytes)
}

func (c *cheap) share(secret uint64, message []byte) []byte {
	if c.alone != nil {
		return c.group(c.alone, message)
	}
	return c.tag('s', secret, message, groupBytes)
}

// Combine needs enough shares that match.
func (c *cheap) Combine(g *bls.Group, message []byte, shares []bls.Share) (sig []byte, bad []int, err error) {
	good := 0
	for _, s := range shares {
		if s.Index < 0 || s.Index >= len(g.Holders) {
			return nil, nil, errors.New("a share of nobody")
		}
		secret, ok := c.holders[string(g.Holders[s.Index].Bytes())]
		if ok && bytes.Equal(s.Signature, c.share(secret, message)) {
			good++
		} else {
			bad = append(bad, s.Index)
		}
	}
	if good < g.Threshold {
		return nil, bad, errors.New("not enough good shares")
	}
	return c.group(g.Key, message), bad, nil
}

// cheapKeys sign for one node.
type cheapKeys struct {
	*keystore.Keys
	scheme *cheap
	secret uint64
}

// Vote is the node's own signature.
func (k *cheapKeys) Vote(message []byte) []byte {
	return k.scheme.tag('v', k.secret, message, voteBytes)
}

// RandomShare is a share of beacon or tape.
func (k *cheapKeys) RandomShare(message []byte) []byte {
	return k.scheme.share(k.secret, message)
}

// StateShare is a share of a certificate.
func (k *cheapKeys) StateShare(message []byte) []byte { return k.RandomShare(message) }

// subnetID of the nodes.
func (ids *identities) subnetID() ic.SubnetID {
	return ic.SubnetID{Principal: ic.SelfAuthenticating(ids.group.Key.DER())}
}
