// Package registry is what a node knows of the network: records by key, each
// with all its versions.
//
//	genesis or NNS ── Apply(changes of version v+1) ──> Store ── Get(key, version) ──> record
//	                                                      └ Save / Open: DIR/registry, append only
//
// Readers name the version they mean: consensus puts it into blocks, so that all
// nodes read the same. Keys are those of the IC's registry (rs/registry/keys).
// Records are CBOR for now; they become the IC's protobuf when the registry
// canister exists to make them (issue "A subnet survives its nodes").
package registry

import (
	"errors"
	"fmt"

	"ashlar/replica/ic"
	"ashlar/replica/wire/cbor"
)

// Limits of what a file or a peer may bring.
const (
	maxRecordBytes = 2 << 20 // the routing table of a large network
	maxKeyBytes    = 256
)

// Keys of records.
const (
	KeySubnetList   = "subnet_list"
	KeyRootSubnet   = "nns_subnet_id"
	KeyRoutingTable = "canister_ranges"
	prefixSubnet    = "subnet_record_"
	prefixSubnetKey = "crypto_threshold_signing_public_key_"
	prefixNode      = "node_record_"
	prefixCUP       = "catch_up_package_contents_"
)

// KeySubnet names a subnet's record, KeyThreshold its BLS key, KeyNode a node's record.
func KeySubnet(s ic.SubnetID) string { return prefixSubnet + s.String() }

// KeyThreshold names the record with a subnet's BLS public keys.
func KeyThreshold(s ic.SubnetID) string { return prefixSubnetKey + s.String() }

// KeyNode names a node's record.
func KeyNode(n ic.NodeID) string { return prefixNode + n.String() }

// KeyCUP names the record from which a subnet begins.
func KeyCUP(s ic.SubnetID) string { return prefixCUP + s.String() }

// Subnet record.
type Subnet struct {
	Type    string      `cbor:"1,keyasint"` // application, system, ...
	Members []ic.NodeID `cbor:"2,keyasint"` // sorted
	Version string      `cbor:"3,keyasint"` // of the replica
	// Interval is the number of heights between summaries, Halt a stop at the next one.
	Interval uint64 `cbor:"4,keyasint,omitempty"`
	Halt     bool   `cbor:"5,keyasint,omitempty"`
}

// Threshold is a subnet's BLS key with its holders' public shares.
type Threshold struct {
	Threshold int      `cbor:"1,keyasint"`
	Key       []byte   `cbor:"2,keyasint"` // 96 bytes
	Holders   [][]byte `cbor:"3,keyasint"` // in order of Subnet.Members
}

// CUP is where a subnet begins: height 0 at a time; later also where it recovers.
type CUP struct {
	Time ic.Time `cbor:"1,keyasint"`
	Raw  []byte  `cbor:"2,keyasint,omitempty"` // the package
}

// Node record.
type Node struct {
	PublicKey []byte `cbor:"1,keyasint"`           // Ed25519, 32 bytes
	P2P       string `cbor:"2,keyasint,omitempty"` // ADDRESS:PORT where other members reach it
	HTTP      string `cbor:"3,keyasint,omitempty"` // ADDRESS:PORT where users reach it
	// Encryption is the key that shares of the subnet's keys are dealt to.
	Encryption []byte `cbor:"4,keyasint,omitempty"`
}

// Route gives a range of canister ids to a subnet.
type Route struct {
	Range  ic.CanisterRange `cbor:"1,keyasint"`
	Subnet ic.SubnetID      `cbor:"2,keyasint"`
}

// Change of one key; a nil Value deletes.
type Change struct {
	Key   string `cbor:"1,keyasint"`
	Value []byte `cbor:"2,keyasint"`
}

// Store is a registry up to its latest version. It is a plain value.
type Store struct {
	versions [][]Change
	records  map[string][]record // by increasing version
}

type record struct {
	version uint64
	value   []byte
}

// New is an empty registry, at version 0.
func New() *Store { return &Store{records: map[string][]record{}} }

// Version is the latest.
func (s *Store) Version() uint64 { return uint64(len(s.versions)) }

// Apply makes the next version.
func (s *Store) Apply(changes []Change) error {
	seen := map[string]bool{}
	for _, c := range changes {
		switch {
		case c.Key == "" || len(c.Key) > maxKeyBytes:
			return fmt.Errorf("registry: a key of %d bytes, it must have 1 to %d", len(c.Key), maxKeyBytes)
		case len(c.Value) > maxRecordBytes:
			return fmt.Errorf("registry: record %s has %d bytes, the limit is %d", c.Key, len(c.Value), maxRecordBytes)
		case seen[c.Key]:
			return fmt.Errorf("registry: one version changes %s twice", c.Key)
		}
		seen[c.Key] = true
	}
	s.versions = append(s.versions, changes)
	for _, c := range changes {
		s.records[c.Key] = append(s.records[c.Key], record{s.Version(), c.Value})
	}
	return nil
}

// ErrNone: there is no such record at the version.
var ErrNone = errors.New("no such record")

// Get decodes the record as it was at a version.
func (s *Store) Get(key string, version uint64, into any) error {
	if version > s.Version() {
		return fmt.Errorf("registry: version %d is asked for, the latest here is %d", version, s.Version())
	}
	var value []byte
	for _, r := range s.records[key] {
		if r.version <= version {
			value = r.value
		}
	}
	if value == nil {
		return fmt.Errorf("registry: %s at version %d: %w", key, version, ErrNone)
	}
	if err := cbor.Unmarshal(value, into); err != nil {
		return fmt.Errorf("registry: %s at version %d: %w", key, version, err)
	}
	return nil
}
