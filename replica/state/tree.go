package state

import (
	"bytes"
	"encoding/binary"
	"slices"

	"github.com/fxamacker/cbor/v2"

	"ashlar/replica/ic"
	"ashlar/replica/wire/hashtree"
)

// rangesPerLeaf is the number of ranges in one leaf of /canister_ranges (spec:
// at most 5, so that a proof stays small).
const rangesPerLeaf = 5

// shown is what the tree shows of a canister: while it stays, so does the subtree.
type shown struct {
	certified          string
	controllers        []ic.Principal
	module             *Module
	created, installed ic.Time
}

func (a shown) equal(b shown) bool {
	return a.certified == b.certified && a.module == b.module && a.created == b.created &&
		a.installed == b.installed && slices.Equal(a.controllers, b.controllers)
}

// seal makes the upper part of the canonical tree. Canisters and calls become nodes when
// somebody looks at them: sum has computed their digests.
func (s *State) seal() *hashtree.Tree {
	subnets := []*Subnet{s.subnet}
	for i := range s.subnet.Others {
		subnets = append(subnets, &s.subnet.Others[i])
	}
	var dirs, ranges []hashtree.Entry
	for i, n := range subnets {
		dirs = append(dirs, hashtree.Entry{Label: string(n.ID.Principal), Tree: s.subnetTree(n, i == 0)})
		ranges = append(ranges, hashtree.Entry{Label: string(n.ID.Principal), Tree: rangesTree(n.Ranges)})
	}
	return hashtree.Dir([]hashtree.Entry{
		{Label: "api_boundary_nodes", Tree: nil},
		{Label: "canister", Tree: s.canisters.Tree(func(_ string, c *Canister) *hashtree.Tree { return hashtree.Dir(c.entries()) })},
		{Label: "canister_ranges", Tree: hashtree.Dir(ranges)},
		{Label: "metadata", Tree: hashtree.Dir([]hashtree.Entry{{Label: "state", Tree: hashtree.NewLeaf(s.root[:])}})},
		{Label: "request_status", Tree: s.calls.Tree(func(_ string, c *Call) *hashtree.Tree { return hashtree.Dir(c.entries()) })},
		{Label: "subnet", Tree: hashtree.Dir(dirs)},
		{Label: "time", Tree: hashtree.NewLeaf(leb128(uint64(s.head.Time)))},
	})
}

// seal is the digest of what the tree shows of the canister, remembered from version to version.
func (c *Canister) seal() [32]byte {
	now := shown{string(c.Certified), c.Settings.Controllers, c.Module, c.Created, c.Installed}
	if c.digest != ([32]byte{}) && now.equal(c.shown) {
		return c.digest
	}
	c.digest, c.shown = hashtree.Dir(c.entries()).Digest(), now
	return c.digest
}

func (c *Canister) entries() []hashtree.Entry {
	principals := make([][]byte, len(c.Settings.Controllers))
	for i, p := range c.Settings.Controllers {
		principals[i] = p.Bytes()
	}
	entries := []hashtree.Entry{
		{Label: "canister_creation_timestamp", Tree: hashtree.NewLeaf(leb128(uint64(c.Created)))},
		{Label: "controllers", Tree: hashtree.NewLeaf(tagged(principals))},
	}
	if c.Module != nil {
		entries = append(entries,
			hashtree.Entry{Label: "certified_data", Tree: hashtree.NewLeaf(c.Certified)},
			hashtree.Entry{Label: "last_install_timestamp", Tree: hashtree.NewLeaf(leb128(uint64(c.Installed)))},
			hashtree.Entry{Label: "metadata", Tree: c.Module.metadata},
			hashtree.Entry{Label: "module_hash", Tree: hashtree.NewLeaf(c.Module.Hash[:])})
	}
	return entries
}

// The labels of a call's status.
const (
	labelStatus        = "status"
	labelReply         = "reply"
	labelErrorCode     = "error_code"
	labelRejectCode    = "reject_code"
	labelRejectMessage = "reject_message"
)

func (c *Call) entries() []hashtree.Entry {
	entries := []hashtree.Entry{{Label: labelStatus, Tree: hashtree.NewLeaf([]byte(c.State.String()))}}
	switch c.State {
	case Replied:
		entries = append(entries, hashtree.Entry{Label: labelReply, Tree: hashtree.NewLeaf(c.Reply)})
	case Rejected:
		entries = append(entries,
			hashtree.Entry{Label: labelRejectCode, Tree: hashtree.NewLeaf(leb128(uint64(c.Reject.Class)))},
			hashtree.Entry{Label: labelRejectMessage, Tree: hashtree.NewLeaf([]byte(c.Reject.Message))})
		if c.Reject.Code != 0 {
			entries = append(entries, hashtree.Entry{Label: labelErrorCode, Tree: hashtree.NewLeaf([]byte(c.Reject.Code.String()))})
		}
	}
	return entries
}

// statusDigests are the parts of a digest that are the same for most calls.
var statusDigests = func() (d [Done + 1][32]byte) {
	for s := range d {
		d[s] = hashtree.DigestLeaf(CallState(s).String())
	}
	return d
}()

// digest of what the tree shows of the call.
func (c *Call) digest() [32]byte {
	switch c.State {
	case Rejected:
		return hashtree.Dir(c.entries()).Digest()
	case Replied:
		two := [...]hashtree.Digested{{Label: labelReply, Digest: hashtree.DigestLeaf(c.Reply)}, {Label: labelStatus, Digest: statusDigests[Replied]}}
		return hashtree.DigestDir(two[:])
	}
	one := [...]hashtree.Digested{{Label: labelStatus, Digest: statusDigests[c.State]}}
	return hashtree.DigestDir(one[:])
}

func (s *State) subnetTree(n *Subnet, own bool) *hashtree.Tree {
	entries := []hashtree.Entry{
		{Label: "canister_ranges", Tree: hashtree.NewLeaf(tagged(pairs(n.Ranges)))},
		{Label: "public_key", Tree: hashtree.NewLeaf(n.PublicKey)},
		{Label: "type", Tree: hashtree.NewLeaf([]byte(n.Type))},
	}
	if own {
		entries = append(entries, hashtree.Entry{Label: "metrics", Tree: hashtree.NewLeaf(s.metrics())})
	}
	var nodes []hashtree.Entry
	for _, node := range n.Nodes {
		key := hashtree.Dir([]hashtree.Entry{{Label: "public_key", Tree: hashtree.NewLeaf(node.PublicKey)}})
		nodes = append(nodes, hashtree.Entry{Label: string(node.ID.Principal), Tree: key})
	}
	entries = append(entries, hashtree.Entry{Label: "node", Tree: hashtree.Dir(nodes)})
	return hashtree.Dir(entries)
}

// metrics is the CBOR map of /subnet/<id>/metrics.
func (s *State) metrics() []byte {
	consumed := map[uint64]any{0: s.head.Burned.Lo}
	if s.head.Burned.Hi != 0 {
		consumed[1] = s.head.Burned.Hi
	}
	return tagged(map[uint64]any{0: s.canisters.Len(), 1: s.head.MemoryBytes, 2: consumed, 3: s.head.Updates})
}

func pairs(ranges []ic.CanisterRange) [][2][]byte {
	out := make([][2][]byte, len(ranges))
	for i, r := range ranges {
		out[i] = [2][]byte{r.First.Bytes(), r.Last.Bytes()}
	}
	return out
}

// rangesTree is /canister_ranges/<subnet>: leaves of a few ranges each, labelled
// by their first id. A subnet without ranges shows an empty list at id 0.
func rangesTree(ranges []ic.CanisterRange) *hashtree.Tree {
	if len(ranges) == 0 {
		first := string(ic.CanisterIDFromUint64(0).Principal)
		return hashtree.Dir([]hashtree.Entry{{Label: first, Tree: hashtree.NewLeaf(tagged(pairs(nil)))}})
	}
	var leaves []hashtree.Entry
	for part := range slices.Chunk(ranges, rangesPerLeaf) {
		leaves = append(leaves, hashtree.Entry{Label: string(part[0].First.Principal), Tree: hashtree.NewLeaf(tagged(pairs(part)))})
	}
	return hashtree.Dir(leaves)
}

// tagged is CBOR with the self-description tag.
func tagged(v any) []byte {
	var b bytes.Buffer
	b.Write([]byte{0xd9, 0xd9, 0xf7})
	raw, err := canonical.Marshal(v)
	if err != nil {
		panic("state: " + err.Error())
	}
	b.Write(raw)
	return b.Bytes()
}

var canonical = func() cbor.EncMode {
	opts := cbor.CoreDetEncOptions()
	opts.String = cbor.StringToTextString
	mode, err := opts.EncMode()
	if err != nil {
		panic(err)
	}
	return mode
}()

func leb128(n uint64) []byte { return binary.AppendUvarint(nil, n) }
