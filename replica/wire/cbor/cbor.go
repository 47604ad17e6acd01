// Package cbor reads and writes the CBOR of the HTTP interface, strictly.
//
//	Marshal    55799(value), map keys in bytewise order: the same value gives the same bytes
//	Unmarshal  no duplicate keys, no indefinite lengths, no floats for integers, bounded nesting
//
// Specification: https-interface.md, "CBOR encoding of requests and responses".
package cbor

import (
	"fmt"

	"github.com/fxamacker/cbor/v2"
)

// Limits on what a message may hold. The bytes of a message are bounded by the caller.
const (
	maxNesting  = 16      // an envelope needs 7: tag, map, array of delegations, map, map, array of targets, item
	treeNesting = 1040    // hashtree.MaxDepth and what is around a tree
	maxElements = 1 << 17 // items of one array: mainnet's list of canister ranges has some thousands
	maxPairs    = 64      // fields of one map: the largest, a call's content, has 9
)

var (
	enc     = must(cbor.EncOptions{Sort: cbor.SortBytewiseLexical, IndefLength: cbor.IndefLengthForbidden}.EncMode())
	dec     = decoder(maxNesting)
	decTree = decoder(treeNesting)
)

func decoder(nesting int) cbor.DecMode {
	return must(cbor.DecOptions{
		DupMapKey:         cbor.DupMapKeyEnforcedAPF,
		MaxNestedLevels:   nesting,
		MaxArrayElements:  maxElements,
		MaxMapPairs:       maxPairs,
		IndefLength:       cbor.IndefLengthForbidden,
		FieldNameMatching: cbor.FieldNameMatchingCaseSensitive,
	}.DecMode())
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err) // options that contradict each other
	}
	return v
}

// selfDescribed is the tag 55799 that starts each request, response and certificate.
const selfDescribed = "\xd9\xd9\xf7"

// Raw is a part of a message that is kept as it came.
type Raw = cbor.RawMessage

// Marshal writes v with the tag of self-described CBOR. It panics if v has no
// CBOR form: that is a defect of the caller.
func Marshal(v any) []byte {
	b, err := enc.Marshal(v)
	if err != nil {
		panic(fmt.Sprintf("cbor: %T: %v", v, err))
	}
	return append(AppendTag(make([]byte, 0, len(selfDescribed)+len(b))), b...)
}

// Unmarshal reads one value, tagged or not, into the structure that v points to.
func Unmarshal(data []byte, v any) error { return unmarshal(dec, data, v) }

// UnmarshalTree is Unmarshal for what holds a hash tree, which nests deeper.
func UnmarshalTree(data []byte, v any) error { return unmarshal(decTree, data, v) }

func unmarshal(mode cbor.DecMode, data []byte, v any) error {
	if err := mode.Unmarshal(data, v); err != nil {
		return fmt.Errorf("not the CBOR that belongs here: %w", err)
	}
	return nil
}

// Plain is Marshal without the tag: for what lies inside a message.
func Plain(v any) []byte { return Marshal(v)[len(selfDescribed):] }
