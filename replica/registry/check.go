package registry

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"regexp"
	"slices"
	"strings"

	"ashlar/replica/crypto/bls"
	"ashlar/replica/crypto/dkg"
	"ashlar/replica/crypto/keystore"
	"ashlar/replica/ic"
	"ashlar/replica/wire/records"
)

// Limits of what records say.
const (
	maxMembers  = dkg.MaxNodes
	maxAdmins   = 100    // of a subnet: each is in its state
	MaxInterval = 10_000 // rounds: a new member waits for two intervals, and a node that lags executes one again
	roomToDeal  = 4      // rounds of an interval besides those that a key generation needs
)

// network is a snapshot, decoded, while it is checked.
type network struct {
	was, now snapshot
	nodes    map[ic.NodeID]*records.Node
	subnets  map[ic.SubnetID]*records.Subnet
	home     map[ic.NodeID]ic.SubnetID // of the members
}

// check tells what in a new version contradicts itself or the version before. The
// costly parts (proofs of possession, transcripts) are checked where they changed.
func check(was, now snapshot) error {
	n := &network{was: was, now: now, nodes: map[ic.NodeID]*records.Node{}, subnets: map[ic.SubnetID]*records.Subnet{}, home: map[ic.NodeID]ic.SubnetID{}}
	for _, rule := range []func() error{
		func() error { _, err := now.authority(); return err },
		n.checkVersions, n.checkNodes, n.checkKeys, n.checkAddresses, n.checkSubnets, n.checkMembership, n.checkBoundary, n.checkThresholds, n.checkRanges,
	} {
		if err := rule(); err != nil {
			return err
		}
	}
	return nil
}

var (
	versionForm = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._+-]{0,127}$`)
	sha256Form  = regexp.MustCompile(`^[0-9a-f]{64}$`)
)

func (n *network) checkVersions() error {
	for v, raw := range n.now.with(records.PrefixVersion) {
		var r records.Version
		if err := records.Decode(raw, &r); err != nil {
			return fmt.Errorf("replica version %s: %w", v, err)
		}
		if !versionForm.MatchString(v) {
			return fmt.Errorf("%q is not the name of a replica version: letters, digits and . _ + - after the first, 128 at most", v)
		}
		if (r.SHA256Hex == "") != (len(r.URLs) == 0) || r.SHA256Hex != "" && !sha256Form.MatchString(r.SHA256Hex) {
			return fmt.Errorf("replica version %s must name the SHA-256 of its package (64 hex digits) and where it is, or neither", v)
		}
		for _, u := range r.URLs {
			if !strings.HasPrefix(u, "https://") && !strings.HasPrefix(u, "http://") {
				return fmt.Errorf("replica version %s: %q is not an address that nodes can load from", v, u)
			}
		}
	}
	return nil
}

func (n *network) elected(version string) bool {
	_, ok := n.now[records.KeyVersion(version)]
	return ok
}

func (n *network) checkNodes() error {
	for name, raw := range n.now.with(records.PrefixNode) {
		id, err := ic.ParsePrincipal(name)
		if err != nil {
			return fmt.Errorf("%s%s: %w", records.PrefixNode, name, err)
		}
		node := &records.Node{}
		if err := records.Decode(raw, node); err != nil {
			return fmt.Errorf("node %s: %w", name, err)
		}
		n.nodes[ic.NodeID{Principal: id}] = node
	}
	return nil
}

// nodeKeys are those that each node must have.
var nodeKeys = []records.Purpose{records.NodeSigning, records.DealingEncryption, records.CommitteeSigning}

// checkKeys: each node has all its keys, each key has its node, and no two share one.
func (n *network) checkKeys() error {
	owner := map[string]string{}
	for name, raw := range n.now.with(records.PrefixCrypto) {
		key := records.PrefixCrypto + name
		id, purpose, ok := records.ParseCrypto(key)
		if !ok {
			return fmt.Errorf("%s does not name a node and a purpose", key)
		}
		if n.nodes[id] == nil {
			return fmt.Errorf("%s: there is no such node", key)
		}
		var k records.PublicKey
		if err := records.Decode(raw, &k); err != nil {
			return fmt.Errorf("%s: %w", key, err)
		}
		if other, taken := owner[string(k.Key)]; taken {
			return fmt.Errorf("%s is the same key as %s", key, other)
		}
		owner[string(k.Key)] = key
		if old, ok := n.was[key]; ok && bytes.Equal(old, raw) {
			continue
		}
		if err := checkKey(id, purpose, &k); err != nil {
			return fmt.Errorf("%s: %w", key, err)
		}
		if err := n.checkRotation(key, id, purpose, &k); err != nil {
			return err
		}
	}
	for id := range n.nodes {
		for _, p := range nodeKeys {
			if _, ok := n.now[records.KeyCrypto(id, p)]; !ok {
				return fmt.Errorf("node %s has no key for purpose %d", id, p)
			}
		}
	}
	return nil
}

// checkKey holds one key against its proof.
func checkKey(id ic.NodeID, purpose records.Purpose, k *records.PublicKey) error {
	switch purpose {
	case records.NodeSigning:
		if k.Algorithm != records.Ed25519 || len(k.Key) != 32 {
			return errors.New("is not an Ed25519 key")
		}
		if ic.SelfAuthenticating(keystore.NodeDER(k.Key)) != id.Principal {
			return errors.New("the node's name is not that of its key")
		}
	case records.CommitteeSigning:
		if k.Algorithm != records.MultiBLS {
			return errors.New("is not a key for joint signatures")
		}
		key, err := bls.ParsePublicKey(k.Key)
		if err != nil {
			return err
		}
		if err := key.VerifyPossession(k.Proof); err != nil {
			return fmt.Errorf("the proof of possession: %w", err)
		}
	case records.DealingEncryption:
		_, err := EncryptionKey(id, k)
		return err
	}
	return nil
}

// checkRotation: a dealing key is replaced by a newer generation only.
func (n *network) checkRotation(key string, id ic.NodeID, purpose records.Purpose, k *records.PublicKey) error {
	var old records.PublicKey
	if ok, err := n.was.get(key, &old); err != nil || !ok || purpose != records.DealingEncryption {
		return err
	}
	before, err := EncryptionKey(id, &old)
	if err != nil {
		return err
	}
	after, err := EncryptionKey(id, k)
	if err == nil && after.Generation <= before.Generation {
		err = fmt.Errorf("%s: generation %d of the key does not follow generation %d", key, after.Generation, before.Generation)
	}
	return err
}

// checkAddresses: no two nodes, and no two services of one, are at one address.
func (n *network) checkAddresses() error {
	owner := map[netip.AddrPort]ic.NodeID{}
	for _, id := range slices.SortedFunc(maps.Keys(n.nodes), compareNodes) {
		r := n.nodes[id]
		all := []*records.Endpoint{r.HTTP, r.XNet}
		for _, f := range r.P2P {
			all = append(all, f.Endpoint)
		}
		for _, e := range all {
			if e == nil {
				continue
			}
			at, err := address(e)
			if err != nil {
				return fmt.Errorf("node %s: %w", id, err)
			}
			if other, taken := owner[at]; taken {
				return fmt.Errorf("node %s is at %s, where node %s is already", id, at, other)
			}
			owner[at] = id
		}
	}
	return nil
}

// address of an endpoint.
func address(e *records.Endpoint) (netip.AddrPort, error) {
	ip, err := netip.ParseAddr(e.IP)
	if err != nil || ip.Zone() != "" || ip.IsUnspecified() || ip.IsMulticast() {
		return netip.AddrPort{}, fmt.Errorf("%q is not an IP address of a node", e.IP)
	}
	if e.Port < 1 || e.Port > 65535 {
		return netip.AddrPort{}, fmt.Errorf("%d is not a port: they go from 1 to 65535", e.Port)
	}
	return netip.AddrPortFrom(ip.Unmap(), uint16(e.Port)), nil
}

func compareNodes(a, b ic.NodeID) int {
	return strings.Compare(string(a.Principal), string(b.Principal))
}

// checkBoundary: an API boundary node is a node with a domain that is in no subnet.
func (n *network) checkBoundary() error {
	for name, raw := range n.now.with(records.PrefixBoundary) {
		var b records.Boundary
		if err := records.Decode(raw, &b); err != nil {
			return fmt.Errorf("API boundary node %s: %w", name, err)
		}
		p, err := ic.ParsePrincipal(name)
		id := ic.NodeID{Principal: p}
		_, member := n.home[id]
		switch r := n.nodes[id]; {
		case err != nil || r == nil:
			return fmt.Errorf("API boundary node %s: there is no such node", name)
		case r.Domain == nil || *r.Domain == "":
			return fmt.Errorf("API boundary node %s has no domain", name)
		case member:
			return fmt.Errorf("API boundary node %s is a member of subnet %s", name, n.home[id])
		case !n.elected(b.Version):
			return fmt.Errorf("API boundary node %s runs replica version %q, which is not elected", name, b.Version)
		}
	}
	return nil
}
