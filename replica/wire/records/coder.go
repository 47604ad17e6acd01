package records

import (
	"bytes"
	"errors"
	"fmt"
	"unicode/utf8"

	"google.golang.org/protobuf/encoding/protowire"

	"ashlar/replica/ic"
)

// coder writes the fields that it is told of, or reads them: a message describes
// itself once for both.
type coder struct {
	out     []byte
	reading bool
	in      []field
	budget  *int // fields left
	err     error
}

// field as it came.
type field struct {
	number protowire.Number
	kind   protowire.Type
	value  uint64 // of a varint
	bytes  []byte // of a length-delimited field
	raw    []byte // all of it
	taken  bool
}

// split cuts a message into its fields.
func split(data []byte, budget *int) (out []field, err error) {
	for len(data) > 0 {
		if *budget--; *budget < 0 {
			return nil, errMany
		}
		number, kind, n := protowire.ConsumeTag(data)
		if n < 0 {
			return nil, protowire.ParseError(n)
		}
		if !number.IsValid() {
			return nil, fmt.Errorf("field %d: there is no such number", number)
		}
		all := protowire.ConsumeFieldValue(number, kind, data[n:])
		if all < 0 {
			return nil, protowire.ParseError(all)
		}
		f := field{number: number, kind: kind, raw: data[:n+all]}
		switch kind {
		case protowire.VarintType:
			f.value, _ = protowire.ConsumeVarint(data[n:])
		case protowire.BytesType:
			f.bytes, _ = protowire.ConsumeBytes(data[n:])
		}
		out = append(out, f)
		data = data[n+all:]
	}
	return out, nil
}

// take yields the fields of a number and kind; one of another kind stays unknown.
func (c *coder) take(n protowire.Number, kind protowire.Type, yield func(*field)) {
	for i := range c.in {
		if f := &c.in[i]; f.number == n && f.kind == kind {
			f.taken = true
			yield(f)
		}
	}
}

func (c *coder) fail(n protowire.Number, err error) {
	if c.err == nil {
		c.err = fmt.Errorf("field %d: %w", n, err)
	}
}

func (c *coder) putVarint(n protowire.Number, v uint64) {
	c.out = protowire.AppendVarint(protowire.AppendTag(c.out, n, protowire.VarintType), v)
}

func (c *coder) putBytes(n protowire.Number, b []byte) {
	c.out = protowire.AppendBytes(protowire.AppendTag(c.out, n, protowire.BytesType), b)
}

// uint64 and the like: a zero is not written, of many the last counts.
func (c *coder) uint64(n protowire.Number, v *uint64) {
	if c.reading {
		c.take(n, protowire.VarintType, func(f *field) { *v = f.value })
	} else if *v != 0 {
		c.putVarint(n, *v)
	}
}

func (c *coder) uint32(n protowire.Number, v *uint32) {
	if c.reading {
		c.take(n, protowire.VarintType, func(f *field) { *v = uint32(f.value) })
	} else if *v != 0 {
		c.putVarint(n, uint64(*v))
	}
}

func (c *coder) bool(n protowire.Number, v *bool) {
	if c.reading {
		c.take(n, protowire.VarintType, func(f *field) { *v = f.value != 0 })
	} else if *v {
		c.putVarint(n, 1)
	}
}

// enum is a number whose meaning is listed; others are kept.
func enum[T ~int32](c *coder, n protowire.Number, v *T) {
	if c.reading {
		c.take(n, protowire.VarintType, func(f *field) { *v = T(f.value) })
	} else if *v != 0 {
		c.putVarint(n, uint64(int64(*v)))
	}
}

func (c *coder) bytes(n protowire.Number, v *[]byte) {
	if c.reading {
		c.take(n, protowire.BytesType, func(f *field) { *v = bytes.Clone(f.bytes) })
	} else if len(*v) > 0 {
		c.putBytes(n, *v)
	}
}

var errText = errors.New("a text that is not UTF-8")

func (c *coder) text(n protowire.Number, f *field) string {
	if !utf8.Valid(f.bytes) {
		c.fail(n, errText)
	}
	return string(f.bytes)
}

func (c *coder) string(n protowire.Number, v *string) {
	if c.reading {
		c.take(n, protowire.BytesType, func(f *field) { *v = c.text(n, f) })
	} else if *v != "" {
		c.putBytes(n, []byte(*v))
	}
}

// The optional ones tell zero from not there.
func (c *coder) optionalBool(n protowire.Number, v **bool) {
	if c.reading {
		c.take(n, protowire.VarintType, func(f *field) { b := f.value != 0; *v = &b })
	} else if *v != nil {
		c.putVarint(n, protowire.EncodeBool(**v))
	}
}

func (c *coder) optionalString(n protowire.Number, v **string) {
	if c.reading {
		c.take(n, protowire.BytesType, func(f *field) { s := c.text(n, f); *v = &s })
	} else if *v != nil {
		c.putBytes(n, []byte(**v))
	}
}

// optionalBytes is nil where it is not there.
func (c *coder) optionalBytes(n protowire.Number, v *[]byte) {
	if c.reading {
		c.take(n, protowire.BytesType, func(f *field) { *v = append([]byte{}, f.bytes...) })
	} else if *v != nil {
		c.putBytes(n, *v)
	}
}

func (c *coder) strings(n protowire.Number, v *[]string) {
	if c.reading {
		c.take(n, protowire.BytesType, func(f *field) { *v = append(*v, c.text(n, f)) })
		return
	}
	for _, s := range *v {
		c.putBytes(n, []byte(s))
	}
}

func (c *coder) blobs(n protowire.Number, v *[][]byte) {
	if c.reading {
		c.take(n, protowire.BytesType, func(f *field) { *v = append(*v, append([]byte{}, f.bytes...)) })
		return
	}
	for _, b := range *v {
		c.putBytes(n, b)
	}
}

// principal is raw bytes, as in a list of members.
func (c *coder) principal(n protowire.Number, v *ic.Principal) {
	if c.reading {
		c.take(n, protowire.BytesType, func(f *field) { *v = c.parse(n, f.bytes) })
	} else if *v != "" {
		c.putBytes(n, v.Bytes())
	}
}

func (c *coder) parse(n protowire.Number, b []byte) ic.Principal {
	p, err := ic.PrincipalFromBytes(b)
	if err != nil {
		c.fail(n, err)
	}
	return p
}

// one is a message inside another; where it comes twice, both are one.
func one[T any, P interface {
	*T
	Message
}](c *coder, n protowire.Number, v **T) {
	if !c.reading {
		if *v != nil {
			c.putBytes(n, Encode(P(*v)))
		}
		return
	}
	c.take(n, protowire.BytesType, func(f *field) {
		if *v == nil {
			*v = new(T)
		}
		if err := decode(f.bytes, P(*v), c.budget); err != nil {
			c.fail(n, err)
		}
	})
}

// many is a list of messages.
func many[T any, P interface {
	*T
	Message
}](c *coder, n protowire.Number, v *[]T) {
	if !c.reading {
		for i := range *v {
			c.putBytes(n, Encode(P(&(*v)[i])))
		}
		return
	}
	c.take(n, protowire.BytesType, func(f *field) {
		var m T
		if err := decode(f.bytes, P(&m), c.budget); err != nil {
			c.fail(n, err)
		}
		*v = append(*v, m)
	})
}

// The wrappers of the IC's types: an id is a message around a message around bytes.
type principalID struct {
	Raw ic.Principal
	Unknown
}

func (p *principalID) fields(c *coder) { c.principal(1, &p.Raw) }

type wrappedID struct {
	ID *principalID
	Unknown
}

func (p *wrappedID) fields(c *coder) { one(c, 1, &p.ID) }

// id is a CanisterId or SubnetId; an empty one is as good as none. Unknown fields of
// the wrappers are dropped: there have been none since the beginning.
func (c *coder) id(n protowire.Number, v *ic.Principal) {
	var w *wrappedID
	if *v != "" {
		w = &wrappedID{ID: &principalID{Raw: *v}}
	}
	if one(c, n, &w); c.reading && w != nil && w.ID != nil {
		*v = w.ID.Raw
	}
}

// blob and number are google.protobuf's BytesValue and UInt64Value.
type blob struct {
	Value []byte
	Unknown
}

func (b *blob) fields(c *coder) { c.bytes(1, &b.Value) }

type number struct {
	Value uint64
	Unknown
}

func (b *number) fields(c *coder) { c.uint64(1, &b.Value) }

// wrappedBytes is nil where it is not there.
func (c *coder) wrappedBytes(n protowire.Number, v *[]byte) {
	var w *blob
	if *v != nil {
		w = &blob{Value: *v}
	}
	if one(c, n, &w); c.reading && w != nil {
		*v = append([]byte{}, w.Value...)
	}
}

func (c *coder) wrappedUint64(n protowire.Number, v **uint64) {
	var w *number
	if *v != nil {
		w = &number{Value: **v}
	}
	if one(c, n, &w); c.reading && w != nil {
		*v = &w.Value
	}
}
