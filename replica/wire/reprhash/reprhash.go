// Package reprhash is the representation-independent hash of the interface
// specification: of requests (their id), delegations and query responses.
//
//	field ── H(name)·H(value) ─┐
//	field ── H(name)·H(value) ─┼─ sorted, concatenated ── H
//	field ── H(name)·H(value) ─┘
//
// Specification: https-interface.md, "Representation-independent hashing".
package reprhash

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"slices"
)

// Map collects the fields of a map; absent optional fields are not added.
type Map struct{ pairs []pair }

// usualPairs are the fields of the largest map, a call's content.
const usualPairs = 9

// known are the hashes of names that occur in nearly each request.
var known = func() map[string][32]byte {
	out := map[string][32]byte{}
	for _, name := range []string{"request_type", "sender", "ingress_expiry", "nonce", "canister_id", "method_name", "arg", "pubkey", "expiration"} {
		out[name] = sha256.Sum256([]byte(name))
	}
	return out
}()

// pair is the hash of a name, then that of its value.
type pair [64]byte

// Add puts a field with the hash of its value.
func (m *Map) Add(name string, value [32]byte) {
	if m.pairs == nil {
		m.pairs = make([]pair, 0, usualPairs)
	}
	n, ok := known[name]
	if !ok {
		n = sha256.Sum256([]byte(name))
	}
	m.pairs = append(m.pairs, pair{})
	p := &m.pairs[len(m.pairs)-1]
	copy(p[:], n[:])
	copy(p[len(n):], value[:])
}

// Bytes adds a blob.
func (m *Map) Bytes(name string, v []byte) { m.Add(name, Bytes(v)) }

// Text adds a text.
func (m *Map) Text(name, v string) { m.Add(name, Bytes([]byte(v))) }

// Nat adds a natural number.
func (m *Map) Nat(name string, v uint64) { m.Add(name, Bytes(binary.AppendUvarint(nil, v))) }

// List adds an array of blobs.
func (m *Map) List(name string, v [][]byte) { m.Add(name, List(v)) }

// Sum is the hash of the map.
func (m *Map) Sum() [32]byte {
	slices.SortFunc(m.pairs, func(a, b pair) int { return bytes.Compare(a[:], b[:]) })
	all := make([]byte, 0, usualPairs*len(pair{}))
	for i := range m.pairs {
		all = append(all, m.pairs[i][:]...)
	}
	return sha256.Sum256(all)
}

// Bytes is the hash of a blob or text.
func Bytes(v []byte) [32]byte { return sha256.Sum256(v) }

// List is the hash of an array of blobs.
func List(v [][]byte) [32]byte {
	all := make([]byte, 0, 32*len(v))
	for _, b := range v {
		h := sha256.Sum256(b)
		all = append(all, h[:]...)
	}
	return sha256.Sum256(all)
}

// Lists is the hash of an array of arrays of blobs.
func Lists(v [][][]byte) [32]byte {
	all := make([]byte, 0, 32*len(v))
	for _, l := range v {
		h := List(l)
		all = append(all, h[:]...)
	}
	return sha256.Sum256(all)
}
