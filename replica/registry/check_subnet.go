package registry

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"

	"ashlar/replica/crypto/bls"
	"ashlar/replica/crypto/dkg"
	"ashlar/replica/ic"
	"ashlar/replica/wire/records"
)

// checkSubnets: the list names the subnets that there are, and each says what can be.
func (n *network) checkSubnets() error {
	var list records.SubnetList
	var root records.SubnetID
	if ok, err := n.now.get(records.KeySubnetList, &list); !ok || err != nil {
		return errors.Join(err, fmt.Errorf("there is no readable %s", records.KeySubnetList))
	}
	for _, id := range list.Subnets {
		r := &records.Subnet{}
		if ok, err := n.now.get(records.KeySubnet(id), r); !ok || err != nil {
			return errors.Join(err, fmt.Errorf("%s names subnet %s, which has no readable record", records.KeySubnetList, id))
		}
		if n.subnets[id] != nil {
			return fmt.Errorf("%s names subnet %s twice", records.KeySubnetList, id)
		}
		n.subnets[id] = r
	}
	for name := range n.now.with(records.PrefixSubnet) {
		p, err := ic.ParsePrincipal(name)
		if err != nil || n.subnets[ic.SubnetID{Principal: p}] == nil {
			return fmt.Errorf("subnet %s has a record and is not in %s", name, records.KeySubnetList)
		}
	}
	if ok, err := n.now.get(records.KeyRootSubnet, &root); !ok || err != nil || n.subnets[root.ID] == nil {
		return errors.Join(err, fmt.Errorf("%s does not name a subnet that there is", records.KeyRootSubnet))
	}
	for id, r := range n.subnets {
		if err := n.checkSubnet(r); err != nil {
			return fmt.Errorf("subnet %s: %w", id, err)
		}
	}
	return nil
}

func (n *network) checkSubnet(r *records.Subnet) error {
	switch {
	case r.Type.String() == "unknown":
		return fmt.Errorf("%d is not a type of subnet", r.Type)
	case len(r.Members) < 1 || len(r.Members) > maxMembers:
		return fmt.Errorf("it has %d members, there must be 1 to %d", len(r.Members), maxMembers)
	case len(r.Admins) > maxAdmins:
		return fmt.Errorf("it has %d admins, there may be %d", len(r.Admins), maxAdmins)
	case !n.elected(r.Version):
		return fmt.Errorf("it runs replica version %q, which is not elected\n  elect it first: network elect %s", r.Version, r.Version)
	case r.Interval < MinInterval(len(r.Members), r.DealingsPerBlock) || r.Interval > MaxInterval:
		return fmt.Errorf("its interval is %d rounds, for %d members it must be %d to %d: their next key is dealt in it",
			r.Interval, len(r.Members), MinInterval(len(r.Members), r.DealingsPerBlock), MaxInterval)
	}
	for _, v := range r.Recalled {
		if v == r.Version {
			return fmt.Errorf("it runs replica version %s, which is recalled", v)
		}
	}
	return nil
}

// MinInterval is how many rounds the key generations of n members need: f+1 dealings
// of the one key, n-f of the other. Zero dealings a block mean one.
func MinInterval(n int, perBlock uint64) uint64 {
	perBlock = max(perBlock, 1)
	dealings := uint64(dkg.Low.Threshold(n) + dkg.High.Threshold(n))
	return (dealings+perBlock-1)/perBlock + roomToDeal
}

// checkMembership: members are nodes, each in one subnet.
func (n *network) checkMembership() error {
	for id, r := range n.subnets {
		for _, m := range r.Members {
			node := n.nodes[m]
			if node == nil {
				return fmt.Errorf("subnet %s: member %s has no node record", id, m)
			}
			if other, taken := n.home[m]; taken {
				return fmt.Errorf("node %s is a member of subnet %s and again of %s", m, other, id)
			}
			n.home[m] = id
			if len(r.Members) > 1 && len(node.P2P) == 0 {
				return fmt.Errorf("subnet %s: member %s does not say where peers reach it", id, m)
			}
		}
	}
	return nil
}

// checkThresholds: each subnet's key is that of the package that it begins from.
func (n *network) checkThresholds() error {
	for id := range n.subnets {
		keyName, cupName := records.KeyThreshold(id), records.KeyCUP(id)
		if n.same(keyName) && n.same(cupName) {
			continue
		}
		if err := n.checkThreshold(id, keyName, cupName); err != nil {
			return fmt.Errorf("subnet %s: %w", id, err)
		}
	}
	for _, prefix := range []string{records.PrefixThreshold, records.PrefixCUP} {
		for name := range n.now.with(prefix) {
			p, err := ic.ParsePrincipal(name)
			if err != nil || n.subnets[ic.SubnetID{Principal: p}] == nil {
				return fmt.Errorf("%s%s: there is no such subnet", prefix, name)
			}
		}
	}
	return nil
}

// same tells that a record was there and is as it was.
func (n *network) same(key string) bool {
	was, ok := n.was[key]
	now, still := n.now[key]
	return ok && still && bytes.Equal(was, now)
}

func (n *network) checkThreshold(id ic.SubnetID, keyName, cupName string) error {
	var k records.PublicKey
	var cup records.CUP
	if ok, err := n.now.get(keyName, &k); !ok || err != nil {
		return errors.Join(err, errors.New("there is no readable public key of it"))
	}
	if ok, err := n.now.get(cupName, &cup); !ok || err != nil {
		return errors.Join(err, errors.New("there is no readable package from which it begins"))
	}
	key, err := bls.ParsePublicKey(k.Key)
	if err != nil || k.Algorithm != records.ThresholdBLS {
		return errors.Join(err, errors.New("its public key is not a threshold key"))
	}
	_, existed := n.was[keyName]
	if !existed && ic.SelfAuthenticating(key.DER()) != id.Principal {
		return errors.New("its name is not that of its key")
	}
	if !n.same(keyName) && existed && cup.Recovery == nil {
		return errors.New("its key changes, and it is not recovered")
	}
	if err := checkCUP(n, id, &cup, existed); err != nil {
		return fmt.Errorf("the package from which it begins: %w", err)
	}
	high, err := transcript(cup.High, dkg.High)
	if err != nil {
		return err
	}
	if !high.Group().Key.Equal(key) {
		return errors.New("its public key is not that of its transcript")
	}
	return nil
}

func checkCUP(n *network, id ic.SubnetID, cup *records.CUP, existed bool) error {
	low, err := transcript(cup.Low, dkg.Low)
	if err != nil {
		return err
	}
	high, err := transcript(cup.High, dkg.High)
	if err != nil {
		return err
	}
	l, h := low.Receivers(), high.Receivers()
	for i := range max(len(l), len(h)) {
		if len(l) != len(h) || l[i] != h[i] || i > 0 && compareNodes(l[i-1], l[i]) >= 0 {
			return errors.New("its two keys must have the same holders, in order of their names")
		}
	}
	if !slices.Equal(l, sorted(n.subnets[id].Members)) {
		return errors.New("a subnet begins, and is recovered, with its members as holders of its keys")
	}
	if g := cup.Genesis; g != nil {
		if existed {
			return errors.New("a subnet begins once")
		}
		if cup.Recovery != nil || g.Height != 0 || cup.Height != 0 || len(cup.StateHash) != 0 {
			return errors.New("a subnet begins at height 0 and without a state")
		}
		return errors.Join(n.recheck(low), n.recheck(high))
	}
	r := cup.Recovery
	switch {
	case r == nil:
		return errors.New("it is neither a beginning nor a recovery")
	case !existed:
		return errors.New("it recovers a subnet that has not begun")
	case len(r.StateHash) != 32 || !bytes.Equal(r.StateHash, cup.StateHash) || r.Height != cup.Height || r.Time != cup.Time:
		return errors.New("a recovery names the hash of the state, its height and its time")
	}
	var old records.CUP
	if _, err := n.was.get(records.KeyCUP(id), &old); err != nil {
		return err
	}
	// The same height once more: of a recovery that named a wrong state, or was signed too early.
	if r.Height < old.Height || r.Height == old.Height && old.Recovery == nil {
		return fmt.Errorf("it recovers height %d, the registry knows height %d already", r.Height, old.Height)
	}
	return nil
}

// recheck verifies each dealing of a new network's key.
func (n *network) recheck(t *dkg.Transcript) error {
	keys, err := n.now.dealingKeys(t.Receivers())
	if err != nil {
		return err
	}
	if proven.has(t, keys) {
		return nil
	}
	s, err := ceremony(keys, t.Tag())
	if err == nil {
		err = s.Recheck(t)
	}
	if err != nil {
		return fmt.Errorf("its %s-threshold key: %w", t.Tag(), err)
	}
	proven.add(t, keys)
	return nil
}

// transcript reads what the record wraps, and holds one against the other.
func transcript(r *records.Transcript, tag dkg.Tag) (*dkg.Transcript, error) {
	if r == nil || r.ID == nil {
		return nil, fmt.Errorf("it has no %s-threshold key", tag)
	}
	t, err := dkg.DecodeTranscript(r.Internal)
	if err != nil {
		return nil, fmt.Errorf("its %s-threshold key: %w", tag, err)
	}
	nodes := t.Receivers()
	ok := t.Tag() == tag && int32(r.ID.Tag) == int32(tag) && len(nodes) == len(r.Committee) && r.Threshold == uint32(t.Threshold())
	for i := range nodes {
		ok = ok && nodes[i] == r.Committee[i]
	}
	if !ok {
		return nil, fmt.Errorf("its %s-threshold key is not the one that the record describes", tag)
	}
	return t, nil
}

// checkRanges: no canister id is at two subnets, and each range's is there.
func (n *network) checkRanges() error {
	var last *records.Range
	for name, raw := range n.now.with(records.PrefixRanges) {
		var t records.RoutingTable
		if err := records.Decode(raw, &t); err != nil {
			return fmt.Errorf("%s%s: %w", records.PrefixRanges, name, err)
		}
		for _, e := range t.Entries {
			if e.Range == nil || e.Range.First.Principal > e.Range.Last.Principal {
				return fmt.Errorf("%s%s has a range that ends before it begins", records.PrefixRanges, name)
			}
			if n.subnets[e.Subnet] == nil {
				return fmt.Errorf("canisters %s to %s are at subnet %s, which is not there", e.Range.First, e.Range.Last, e.Subnet)
			}
			if last != nil && strings.Compare(string(last.Last.Principal), string(e.Range.First.Principal)) >= 0 {
				return fmt.Errorf("the canister range from %s overlaps the one to %s, or is out of order", e.Range.First, last.Last)
			}
			last = e.Range
		}
	}
	return nil
}
