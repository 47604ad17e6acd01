package cert

import (
	"encoding/binary"
	"errors"
	"fmt"

	"ashlar/replica/ic"
	"ashlar/replica/wire/cbor"
	"ashlar/replica/wire/hashtree"
)

// Natural reads a value of the state tree that is a number: LEB128.
func Natural(raw []byte) (uint64, bool) {
	n, used := binary.Uvarint(raw)
	return n, used == len(raw) && used > 0
}

// AppendNatural writes a number as the state tree holds it.
func AppendNatural(out []byte, n uint64) []byte { return binary.AppendUvarint(out, n) }

// EncodeRanges is the value at /subnet/<id>/canister_ranges and of a shard.
func EncodeRanges(ranges []ic.CanisterRange) []byte {
	out := make([][2][]byte, len(ranges))
	for i, r := range ranges {
		out[i] = [2][]byte{r.First.Bytes(), r.Last.Bytes()}
	}
	return cbor.Marshal(out)
}

// DecodeRanges reads what EncodeRanges wrote.
func DecodeRanges(raw []byte) ([]ic.CanisterRange, error) {
	var pairs [][][]byte
	if err := cbor.Unmarshal(raw, &pairs); err != nil {
		return nil, fmt.Errorf("canister ranges: %w", err)
	}
	out := make([]ic.CanisterRange, len(pairs))
	for i, p := range pairs {
		if len(p) != 2 {
			return nil, fmt.Errorf("canister ranges: a range has %d ends", len(p))
		}
		first, err := ic.PrincipalFromBytes(p[0])
		if err != nil {
			return nil, fmt.Errorf("canister ranges: %w", err)
		}
		last, err := ic.PrincipalFromBytes(p[1])
		if err != nil {
			return nil, fmt.Errorf("canister ranges: %w", err)
		}
		out[i] = ic.CanisterRange{First: ic.CanisterID{Principal: first}, Last: ic.CanisterID{Principal: last}}
	}
	return out, nil
}

// Ranges are the canister ids that a tree assigns to a subnet, by what the tree
// reveals: the shards below /canister_ranges/<subnet>, or else the old form
// /subnet/<subnet>/canister_ranges.
func Ranges(tree *hashtree.Tree, subnet []byte) ([]ic.CanisterRange, error) {
	var out []ic.CanisterRange
	var failed error
	seen := false
	if shards, status := tree.Subtree(hashtree.Path{[]byte("canister_ranges"), subnet}); status == hashtree.Found {
		shards.Each(func(_ []byte, leaf *hashtree.Tree) {
			if leaf.Kind() != hashtree.Leaf {
				return
			}
			rs, err := DecodeRanges(leaf.Data())
			if err != nil {
				failed = err
			}
			out, seen = append(out, rs...), true
		})
	}
	if seen || failed != nil {
		return out, failed
	}
	raw, status := tree.Lookup(hashtree.Path{[]byte("subnet"), subnet, []byte("canister_ranges")})
	if status != hashtree.Found {
		return nil, errors.New("it reveals no canister ranges of the subnet, neither in shards nor in one piece")
	}
	return DecodeRanges(raw)
}

// EncodePrincipals is the value at /canister/<id>/controllers.
func EncodePrincipals(ps []ic.Principal) []byte {
	out := make([][]byte, len(ps))
	for i, p := range ps {
		out[i] = p.Bytes()
	}
	return cbor.Marshal(out)
}

// DecodePrincipals reads what EncodePrincipals wrote.
func DecodePrincipals(raw []byte) ([]ic.Principal, error) {
	var list [][]byte
	if err := cbor.Unmarshal(raw, &list); err != nil {
		return nil, fmt.Errorf("list of principals: %w", err)
	}
	out := make([]ic.Principal, len(list))
	for i, b := range list {
		p, err := ic.PrincipalFromBytes(b)
		if err != nil {
			return nil, fmt.Errorf("list of principals: %w", err)
		}
		out[i] = p
	}
	return out, nil
}
