package candid

import (
	"encoding/binary"
	"fmt"
	"math"
	"math/big"

	"ashlar/replica/ic"
)

// Encode writes values of the given types as a message. The same types and
// values give the same bytes. A value that does not have its type is an error.
func Encode(types []*Type, values []Value) ([]byte, error) {
	if len(types) != len(values) {
		return nil, fmt.Errorf("candid: %d values for %d types", len(values), len(types))
	}
	t := &table{at: map[*Type]int{}}
	for _, x := range types {
		t.add(x)
	}
	out := t.bytes([]byte("DIDL"))
	out = appendULEB(out, uint64(len(types)))
	for _, x := range types {
		out = t.index(out, x)
	}
	for i, x := range types {
		var err error
		if out, err = appendValue(out, x, values[i]); err != nil {
			return nil, fmt.Errorf("candid: argument %d: %w", i, err)
		}
	}
	return out, nil
}

// table gives each composite type its index; equal pointers share one.
type table struct {
	order []*Type
	at    map[*Type]int
}

func (t *table) add(x *Type) {
	if x.Kind.primitive() {
		return
	}
	if _, known := t.at[x]; known {
		return
	}
	t.at[x] = len(t.order)
	t.order = append(t.order, x)
	if x.Elem != nil {
		t.add(x.Elem)
	}
	for _, f := range x.Fields {
		t.add(f.Type)
	}
	for _, a := range x.Args {
		t.add(a)
	}
	for _, r := range x.Results {
		t.add(r)
	}
	for _, m := range x.Methods {
		t.add(m.Func)
	}
}

func (t *table) index(out []byte, x *Type) []byte {
	if x.Kind.primitive() {
		return appendSLEB(out, int64(x.Kind))
	}
	return appendSLEB(out, int64(t.at[x]))
}

func (t *table) bytes(out []byte) []byte {
	out = appendULEB(out, uint64(len(t.order)))
	for _, x := range t.order {
		out = appendSLEB(out, int64(x.Kind))
		switch x.Kind {
		case Opt, Vec:
			out = t.index(out, x.Elem)
		case Record, Variant:
			out = appendULEB(out, uint64(len(x.Fields)))
			for _, f := range x.Fields {
				out = t.index(appendULEB(out, uint64(f.ID)), f.Type)
			}
		case FuncRef:
			out = t.indexes(t.indexes(out, x.Args), x.Results)
			out = appendULEB(out, uint64(len(x.Modes)))
			for _, m := range x.Modes {
				out = append(out, byte(m))
			}
		case Service:
			out = appendULEB(out, uint64(len(x.Methods)))
			for _, m := range x.Methods {
				out = t.index(appendText(out, m.Name), m.Func)
			}
		}
	}
	return out
}

func (t *table) indexes(out []byte, ts []*Type) []byte {
	out = appendULEB(out, uint64(len(ts)))
	for _, x := range ts {
		out = t.index(out, x)
	}
	return out
}

func appendValue(out []byte, t *Type, v Value) ([]byte, error) {
	switch t.Kind {
	case Null, Reserved:
		return out, nil
	case Opt:
		if o, ok := v.(Option); ok {
			if !o.Some {
				return append(out, 0), nil
			}
			return appendValue(append(out, 1), t.Elem, o.Value)
		}
	case Vec:
		return appendVector(out, t, v)
	case Record:
		if f, ok := v.(Fields); ok {
			return appendRecord(out, t, f)
		}
	case Variant:
		if c, ok := v.(Choice); ok {
			return appendVariant(out, t, c)
		}
	default:
		return appendScalar(out, t, v)
	}
	return nil, badValue(t, v)
}

func badValue(t *Type, v Value) error { return fmt.Errorf("a %T is not a value of type %s", v, t.Kind) }

func appendVector(out []byte, t *Type, v Value) ([]byte, error) {
	if b, ok := v.([]byte); ok && t.isBlob() {
		return append(appendULEB(out, uint64(len(b))), b...), nil
	}
	vs, ok := v.([]Value)
	if !ok {
		return nil, badValue(t, v)
	}
	out = appendULEB(out, uint64(len(vs)))
	for i, x := range vs {
		var err error
		if out, err = appendValue(out, t.Elem, x); err != nil {
			return nil, fmt.Errorf("element %d: %w", i, err)
		}
	}
	return out, nil
}

func appendRecord(out []byte, t *Type, v Fields) ([]byte, error) {
	for _, f := range t.Fields {
		for len(v) > 0 && v[0].ID < f.ID {
			v = v[1:]
		}
		var x Value = Option{}
		switch {
		case len(v) > 0 && v[0].ID == f.ID:
			x = v[0].Value
		case !f.Type.optional():
			return nil, fmt.Errorf("record has no field %s", f.label())
		}
		var err error
		if out, err = appendValue(out, f.Type, x); err != nil {
			return nil, fmt.Errorf("field %s: %w", f.label(), err)
		}
	}
	return out, nil
}

func appendVariant(out []byte, t *Type, c Choice) ([]byte, error) {
	for i, f := range t.Fields {
		if f.ID == c.ID {
			out, err := appendValue(appendULEB(out, uint64(i)), f.Type, c.Value)
			if err != nil {
				return nil, fmt.Errorf("variant %s: %w", f.label(), err)
			}
			return out, nil
		}
	}
	return nil, fmt.Errorf("variant has no case with id %d", c.ID)
}

func appendScalar(out []byte, t *Type, v Value) ([]byte, error) {
	le := binary.LittleEndian
	switch x := v.(type) {
	case bool:
		if t.Kind == Bool && x {
			return append(out, 1), nil
		} else if t.Kind == Bool {
			return append(out, 0), nil
		}
	case *big.Int:
		if t.Kind == Nat && x.Sign() >= 0 || t.Kind == Int {
			return appendBig(out, x, t.Kind == Int), nil
		}
	case uint8:
		if t.Kind == Nat8 {
			return append(out, x), nil
		}
	case int8:
		if t.Kind == Int8 {
			return append(out, byte(x)), nil
		}
	case uint16:
		if t.Kind == Nat16 {
			return le.AppendUint16(out, x), nil
		}
	case int16:
		if t.Kind == Int16 {
			return le.AppendUint16(out, uint16(x)), nil
		}
	case uint32:
		if t.Kind == Nat32 {
			return le.AppendUint32(out, x), nil
		}
	case int32:
		if t.Kind == Int32 {
			return le.AppendUint32(out, uint32(x)), nil
		}
	case uint64:
		if t.Kind == Nat64 {
			return le.AppendUint64(out, x), nil
		}
	case int64:
		if t.Kind == Int64 {
			return le.AppendUint64(out, uint64(x)), nil
		}
	case float32:
		if t.Kind == Float32 {
			return le.AppendUint32(out, math.Float32bits(x)), nil
		}
	case float64:
		if t.Kind == Float64 {
			return le.AppendUint64(out, math.Float64bits(x)), nil
		}
	case string:
		if t.Kind == Text {
			return appendText(out, x), nil
		}
	case ic.Principal:
		if t.Kind == Principal || t.Kind == Service {
			return appendText(append(out, 1), string(x)), nil
		}
	case Func:
		if t.Kind == FuncRef {
			return appendText(appendText(append(out, 1, 1), string(x.Service)), x.Method), nil
		}
	}
	return nil, badValue(t, v)
}

func appendText(out []byte, s string) []byte {
	return append(appendULEB(out, uint64(len(s))), s...)
}

func appendULEB(out []byte, v uint64) []byte { return binary.AppendUvarint(out, v) }

func appendSLEB(out []byte, v int64) []byte {
	for {
		b := byte(v & 0x7f)
		v >>= 7
		if v == 0 && b&0x40 == 0 || v == -1 && b&0x40 != 0 {
			return append(out, b)
		}
		out = append(out, b|0x80)
	}
}

// appendBig writes a number of any size in time linear in its size.
func appendBig(out []byte, v *big.Int, signed bool) []byte {
	if v.IsInt64() && signed {
		return appendSLEB(out, v.Int64())
	}
	if v.IsUint64() && !signed {
		return appendULEB(out, v.Uint64())
	}
	groups := v.BitLen()/7 + 1 // room for the sign bit
	if v.Sign() < 0 {
		v = new(big.Int).Add(v, new(big.Int).Lsh(big.NewInt(1), uint(groups*7)))
	}
	b := v.Bytes()
	group := func(i int) byte {
		at, shift := len(b)-1-i*7/8, i*7%8
		var wide uint16
		if at >= 0 {
			wide = uint16(b[at])
		}
		if at > 0 {
			wide |= uint16(b[at-1]) << 8
		}
		return byte(wide>>shift) & 0x7f
	}
	if !signed && group(groups-1) == 0 {
		groups--
	}
	for i := 0; i < groups-1; i++ {
		out = append(out, group(i)|0x80)
	}
	return append(out, group(groups-1))
}
