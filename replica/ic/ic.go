// Package ic holds the nouns of the protocol, each its own type.
//
//	Principal ─┬─ CanisterID   who and where
//	           ├─ SubnetID
//	           └─ NodeID
//	Height  Time  Cycles       when and how much
//	RejectCode  ErrorCode      why not
//
// It does no I/O and imports nothing of ours. Terms are those of the
// interface specification (0.67): docs/references/ic-interface-spec.
package ic

import (
	"crypto/sha256"
	"encoding/base32"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"strings"
)

// MaxPrincipalBytes is the longest principal the specification allows.
const MaxPrincipalBytes = 29

// Principal is the raw bytes of an identity, at most MaxPrincipalBytes. It is a
// string so that it can be a map key and be compared; make one with
// PrincipalFromBytes or ParsePrincipal, which check the length.
type Principal string

// The principals that have names.
const (
	Management Principal = ""     // aaaaa-aa, the management canister
	Anonymous  Principal = "\x04" // 2vxsx-fae, a caller without a key
)

// PrincipalFromBytes checks the length of raw bytes.
func PrincipalFromBytes(b []byte) (Principal, error) {
	if len(b) > MaxPrincipalBytes {
		return "", fmt.Errorf("principal has %d bytes, the limit is %d", len(b), MaxPrincipalBytes)
	}
	return Principal(b), nil
}

// SelfAuthenticating is the principal of a public key in DER.
func SelfAuthenticating(der []byte) Principal {
	h := sha256.Sum224(der)
	return Principal(h[:]) + "\x02"
}

// Bytes returns the raw form.
func (p Principal) Bytes() []byte { return []byte(p) }

// IsAnonymous tells whether p is the anonymous caller.
func (p Principal) IsAnonymous() bool { return p == Anonymous }

// IsSelfAuthenticating tells whether p is derived from a public key.
func (p Principal) IsSelfAuthenticating() bool {
	return len(p) == MaxPrincipalBytes && p[len(p)-1] == 2
}

var principalBase32 = base32.NewEncoding("abcdefghijklmnopqrstuvwxyz234567").WithPadding(base32.NoPadding)

// String is the textual form: base32 of CRC32 and bytes, in groups of five.
func (p Principal) String() string {
	raw := binary.BigEndian.AppendUint32(nil, crc32.ChecksumIEEE([]byte(p)))
	s := principalBase32.EncodeToString(append(raw, p...))
	var b strings.Builder
	for i := 0; i < len(s); i += 5 {
		if i > 0 {
			b.WriteByte('-')
		}
		b.WriteString(s[i:min(i+5, len(s))])
	}
	return b.String()
}

// ParsePrincipal reads the textual form and refuses any other spelling of it.
func ParsePrincipal(s string) (Principal, error) {
	if len(s) > 63 {
		return "", errors.New("principal text is longer than 63 characters")
	}
	raw, err := principalBase32.DecodeString(strings.ReplaceAll(strings.ToLower(s), "-", ""))
	if err != nil || len(raw) < 4 {
		return "", fmt.Errorf("%q is not the text of a principal", s)
	}
	p, err := PrincipalFromBytes(raw[4:])
	if err != nil {
		return "", err
	}
	if p.String() != s {
		return "", fmt.Errorf("%q is not the text of a principal: checksum or grouping is wrong", s)
	}
	return p, nil
}

// CanisterID, SubnetID and NodeID are principals that are not interchangeable.
type (
	CanisterID struct{ Principal }
	SubnetID   struct{ Principal }
	NodeID     struct{ Principal }
)

// CanisterIDFromUint64 is the id that a subnet's counter gives: eight bytes,
// big endian, then 01 01.
func CanisterIDFromUint64(n uint64) CanisterID {
	b := binary.BigEndian.AppendUint64(nil, n)
	return CanisterID{Principal(append(b, 1, 1))}
}

// Uint64 is the counter behind a canister id, if it has that form.
func (c CanisterID) Uint64() (uint64, bool) {
	if len(c.Principal) != 10 || c.Principal[8:] != "\x01\x01" {
		return 0, false
	}
	return binary.BigEndian.Uint64([]byte(c.Principal[:8])), true
}

// CanisterRange is inclusive at both ends.
type CanisterRange struct{ First, Last CanisterID }

// Contains compares as bytes, as the specification does.
func (r CanisterRange) Contains(c CanisterID) bool {
	return r.First.Principal <= c.Principal && c.Principal <= r.Last.Principal
}

// Height counts blocks, batches and states; the first batch has height 1.
type Height uint64

// Time is nanoseconds since 1970-01-01 UTC, as agreed by the subnet.
type Time uint64

// RequestID is the representation-independent hash of a request's content.
type RequestID [32]byte

// Ingress is a user's call whose envelope was checked: what a batch carries.
type Ingress struct {
	ID       RequestID
	Sender   Principal
	Canister CanisterID // the callee; Management for the management canister
	Method   string
	Arg      []byte
	Expiry   Time
	Info     *SenderInfo
	Bytes    int // size of the envelope on the wire, for the ingress fee
	// Effective is the canister whose subnet handles the call (spec: effective canister id).
	Effective CanisterID
}

// Query is a user's query whose envelope was checked.
type Query struct {
	ID       RequestID
	Sender   Principal
	Canister CanisterID
	Method   string
	Arg      []byte
	Info     *SenderInfo
}

// SenderInfo is what a signer canister attests about the caller (0.59).
type SenderInfo struct {
	Info   []byte
	Signer Principal
}
