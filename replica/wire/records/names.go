package records

import (
	"encoding/hex"
	"strconv"
	"strings"

	"ashlar/replica/ic"
)

// Keys of the registry that are one record each.
const (
	KeySubnetList = "subnet_list"
	KeyRootSubnet = "nns_subnet_id"
	// KeyAuthority is not the IC's: who may change the registry until a canister holds it.
	KeyAuthority = "network_authority"
)

// Prefixes of the keys that are one record for each subnet, node, version or range.
const (
	PrefixSubnet    = "subnet_record_"
	PrefixThreshold = "crypto_threshold_signing_public_key_"
	PrefixCUP       = "catch_up_package_contents_"
	PrefixNode      = "node_record_"
	PrefixCrypto    = "crypto_record_"
	PrefixVersion   = "replica_version_"
	PrefixRanges    = "canister_ranges_"
	PrefixBoundary  = "api_boundary_node_"
)

// Purpose of a node's key. The numbers are part of the keys.
type Purpose int

// The purposes; 2 was for answers to queries and is not used, 5 is for threshold ECDSA.
const (
	NodeSigning        Purpose = 1
	DealingEncryption  Purpose = 3
	CommitteeSigning   Purpose = 4
	IDKGDealEncryption Purpose = 5
)

// KeySubnet names a subnet's record.
func KeySubnet(s ic.SubnetID) string { return PrefixSubnet + s.String() }

// KeyThreshold names the record with a subnet's public key.
func KeyThreshold(s ic.SubnetID) string { return PrefixThreshold + s.String() }

// KeyCUP names the record from which a subnet begins or recovers.
func KeyCUP(s ic.SubnetID) string { return PrefixCUP + s.String() }

// KeyNode names a node's record.
func KeyNode(n ic.NodeID) string { return PrefixNode + n.String() }

// KeyCrypto names the record of one of a node's keys.
func KeyCrypto(n ic.NodeID, p Purpose) string {
	return PrefixCrypto + n.String() + "_" + strconv.Itoa(int(p))
}

// ParseCrypto reads what KeyCrypto made.
func ParseCrypto(key string) (ic.NodeID, Purpose, bool) {
	name, number, _ := strings.Cut(strings.TrimPrefix(key, PrefixCrypto), "_")
	p, err := ic.ParsePrincipal(name)
	purpose, bad := strconv.Atoi(number)
	n := ic.NodeID{Principal: p}
	return n, Purpose(purpose), err == nil && bad == nil && KeyCrypto(n, Purpose(purpose)) == key
}

// KeyVersion names the record of an elected version of the replica.
func KeyVersion(v string) string { return PrefixVersion + v }

// KeyRanges names the part of the routing table that begins at a canister id.
func KeyRanges(first ic.CanisterID) string { return PrefixRanges + hex.EncodeToString(first.Bytes()) }

// KeyBoundary names the record of a node that serves as an API boundary node.
func KeyBoundary(n ic.NodeID) string { return PrefixBoundary + n.String() }
