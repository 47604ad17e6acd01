// Package records is what the network's registry holds: records under keys, and
// the changes that make one version of it from another, as the IC writes them.
//
//	names.go     subnet_record_<subnet>, node_record_<node>, crypto_record_<node>_<purpose>, ...
//	subnet.go node.go cup.go routing.go version.go     one kind of record each
//	change.go    mutations (what the registry canister takes) and deltas (what it gives)
//	coder.go     the two-way description that all of them use
//
// The encoding is protobuf (version 3): Encode gives the same bytes each time, fields
// in order of their numbers; Decode takes whatever protobuf allows, within limits.
// Fields that this program does not know are kept and written again behind the others,
// so that who changes one field of a record of a newer network loses none.
//
// Names, numbers and types: rs/protobuf/def/registry of the IC; testdata/records.proto
// has those that are read here.
package records

import (
	"errors"
	"fmt"
)

// Limits of one message.
const (
	MaxBytes  = 4 << 20 // one version of the registry: both transcripts of 40 nodes have 1.7 MB
	maxFields = 1 << 16 // in all messages of a record: mainnet's routing table has some thousands of ranges
)

// Message is a record, or a part of one.
type Message interface {
	fields(c *coder) // tells each field to c, in order of numbers
	unknown() *Unknown
}

// Unknown are the fields of a message that this program does not know, as they came.
type Unknown []byte

func (u *Unknown) unknown() *Unknown { return u }

// Encode is the one encoding of m.
func Encode(m Message) []byte {
	c := &coder{}
	m.fields(c)
	return append(c.out, *m.unknown()...)
}

// Decode reads a message into m: where m has something already, both become one, as protobuf has it.
func Decode(data []byte, m Message) error {
	if len(data) > MaxBytes {
		return fmt.Errorf("a record of %d bytes, the limit is %d", len(data), MaxBytes)
	}
	budget := maxFields
	return decode(data, m, &budget)
}

func decode(data []byte, m Message, budget *int) error {
	in, err := split(data, budget)
	if err != nil {
		return err
	}
	c := &coder{reading: true, in: in, budget: budget}
	m.fields(c)
	for _, f := range c.in {
		if !f.taken {
			*m.unknown() = append(*m.unknown(), f.raw...)
		}
	}
	return c.err
}

var errMany = errors.New("a record of too many fields")
