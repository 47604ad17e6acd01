package apitest

import (
	"ashlar/replica/ic"
	"ashlar/replica/wire/cert"
	"ashlar/replica/wire/hashtree"
)

// dir is a directory of labels and their trees, in turn.
func dir(entries ...any) *hashtree.Tree {
	var es []hashtree.Entry
	for i := 0; i < len(entries); i += 2 {
		es = append(es, hashtree.Entry{Label: entries[i].(string), Tree: entries[i+1].(*hashtree.Tree)})
	}
	return hashtree.Dir(es)
}

func leaf(s string) *hashtree.Tree { return hashtree.NewLeaf([]byte(s)) }

func natural(n uint64) *hashtree.Tree { return hashtree.NewLeaf(cert.AppendNatural(nil, n)) }

// tree is the whole state tree, with the labels of interface section "The system state tree".
func (n *Node) tree() *hashtree.Tree {
	return dir(
		"api_boundary_nodes", dir("bn", dir("domain", leaf("bn.example"), "ipv6_address", leaf("::1"))),
		"canister", dir(string(Canister.Principal), dir(
			"certified_data", leaf("secret"),
			"controllers", hashtree.NewLeaf(cert.EncodePrincipals(n.Controllers)),
			"module_hash", leaf("0123456789abcdef0123456789abcdef"),
			"canister_creation_timestamp", natural(5),
			"metadata", dir("candid:service", leaf("service : {}"), "motoko:stable", leaf("stable types")))),
		"canister_ranges", n.shards(),
		"request_status", n.requests(),
		"streams", dir("s", leaf("internal")),
		"subnet", n.subnets(),
		"time", natural(uint64(n.Clock)))
}

func (n *Node) shards() *hashtree.Tree {
	shard := func(r []ic.CanisterRange) *hashtree.Tree {
		return dir(string(r[0].First.Principal), hashtree.NewLeaf(cert.EncodeRanges(r)))
	}
	other := []ic.CanisterRange{{First: ic.CanisterIDFromUint64(0x100000), Last: ic.CanisterIDFromUint64(0x1fffff)}}
	return dir(string(Other), shard(other), string(n.SubnetID().Principal), shard(ranges))
}

func (n *Node) subnets() *hashtree.Tree {
	own := dir("public_key", hashtree.NewLeaf(n.subnet.PublicKey().DER()), "type", leaf("application"),
		"canister_ranges", hashtree.NewLeaf(cert.EncodeRanges(ranges)), "metrics", leaf("metrics of this subnet"),
		"node", dir(string(n.NodeID().Principal), dir("public_key", hashtree.NewLeaf(n.nodeKeyDER()))))
	other := dir("public_key", leaf("other key"), "type", leaf("system"), "canister_ranges", leaf("other ranges"),
		"metrics", leaf("other metrics"), "node", dir("other node", dir("public_key", leaf("other node key"))))
	entries := []any{string(n.SubnetID().Principal), own, string(Other), other}
	if n.Delegated {
		root := dir("public_key", hashtree.NewLeaf(n.RootKey()), "type", leaf("system"), "canister_ranges", leaf("root ranges"))
		entries = append(entries, string(n.RootSubnet().Principal), root)
	}
	return dir(entries...)
}

func (n *Node) requests() *hashtree.Tree {
	var entries []any
	for id, reply := range n.answers {
		var t *hashtree.Tree
		if r := reply.Reject; r != nil {
			t = dir("status", leaf("rejected"), "reject_code", natural(uint64(r.Class)), "reject_message", leaf(r.Message), "error_code", leaf(r.Code.String()))
		} else {
			t = dir("status", leaf("replied"), "reply", hashtree.NewLeaf(reply.Data))
		}
		entries = append(entries, string(id[:]), t)
	}
	return dir(entries...)
}
