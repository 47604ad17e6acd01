package candid

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"math/big"

	"ashlar/replica/ic"
)

// Limits bounds the work that a message may cause.
type Limits struct {
	// Cost is the number of values decoded, subtyping steps included. A value is
	// at most 48 bytes of ours beyond the message's own bytes.
	Cost int
	// Skip is the number of values passed over because nobody asked for them.
	Skip int
	// Depth is how deep values may nest; it bounds the stack.
	Depth int
}

const (
	baseCost    = 20_000 // values a short message may hold, so that a vec null of thousands decodes
	costPerByte = 4      // a value takes at least a byte, but records and missing optional fields take none
	maxSkip     = 10_000 // values; the figure of mainnet's management canister
	maxDepth    = 2_000  // levels; a list of that length still decodes, the stack stays below 2 MiB
	maxPrealloc = 1_024  // elements; the rest of a vector is allocated as its values arrive
	skipUnit    = 64     // bytes of a skipped blob or text that cost as much as a value
)

// DefaultLimits grow with the message: time and memory are linear in its size.
func DefaultLimits(messageBytes int) Limits {
	return Limits{Cost: baseCost + costPerByte*messageBytes, Skip: maxSkip + messageBytes/skipUnit, Depth: maxDepth}
}

// Decode reads a message's arguments at the types asked for. Further arguments
// are skipped. The values share no memory with the message, except blobs.
func Decode(message []byte, want []*Type, lim Limits) ([]Value, error) {
	d := &decoder{reader: reader{buf: message}, lim: lim, proved: map[pair]bool{}}
	values, err := d.arguments(want)
	if err != nil {
		return nil, fmt.Errorf("candid: %w (at byte %d of %d)", err, d.pos, len(message))
	}
	return values, nil
}

// Types reads the types that a message says its arguments have.
func Types(message []byte) ([]*Type, error) {
	r := &reader{buf: message}
	ts, err := r.header()
	if err != nil {
		return nil, fmt.Errorf("candid: %w (at byte %d of %d)", err, r.pos, len(message))
	}
	return ts, nil
}

type decoder struct {
	reader
	lim    Limits
	proved map[pair]bool // subtyping between references, decided before
}

// mismatch is a value that does not fit the type asked for: under an opt it
// becomes null. All other errors are final.
type mismatch struct{ have, want *Type }

func (m *mismatch) Error() string {
	if m.have == nil {
		return fmt.Sprintf("a required %s is missing", m.want.Kind)
	}
	if m.have.Kind == m.want.Kind {
		return fmt.Sprintf("this %s is not of the type asked for", m.have.Kind)
	}
	return fmt.Sprintf("found %s where %s was asked for", m.have.Kind, m.want.Kind)
}

var (
	errCost  = errors.New("decoding cost exceeds the quota")
	errSkip  = errors.New("skipping cost exceeds the quota")
	errDepth = errors.New("values are nested too deep")
	errEmpty = errors.New("the type empty has no values")
)

func (d *decoder) spend(n int) error {
	if d.lim.Cost -= n; d.lim.Cost < 0 {
		return errCost
	}
	return nil
}

func (d *decoder) arguments(want []*Type) ([]Value, error) {
	have, err := d.header()
	if err != nil {
		return nil, err
	}
	values := make([]Value, len(want))
	for i := 0; i < len(want) || i < len(have); i++ {
		switch {
		case i >= len(want):
			err = d.skip(have[i], 0)
		case i >= len(have):
			values[i], err = d.missing(want[i])
		default:
			values[i], err = d.value(have[i], want[i], 0)
		}
		if err != nil {
			return nil, fmt.Errorf("argument %d: %w", i, err)
		}
	}
	if d.left() > 0 {
		return nil, fmt.Errorf("%d bytes follow the last argument", d.left())
	}
	return values, nil
}

// missing is the value of a field or argument that the message does not have.
func (d *decoder) missing(t *Type) (Value, error) {
	if !t.optional() {
		return nil, &mismatch{nil, t}
	}
	if err := d.spend(1); err != nil || t.Kind != Opt {
		return nil, err
	}
	return Option{}, nil
}

// value reads a value of type w and coerces it to type t.
func (d *decoder) value(w, t *Type, depth int) (Value, error) {
	if depth > d.lim.Depth {
		return nil, errDepth
	}
	if err := d.spend(1); err != nil {
		return nil, err
	}
	switch {
	case w.Kind == Empty:
		return nil, errEmpty
	case t.Kind == Reserved:
		return nil, d.skip(w, depth)
	case t.Kind == Opt:
		return d.option(w, t, depth)
	case w.Kind == Nat && t.Kind == Int, w.Kind == Service && t.Kind == Principal:
	case w.Kind != t.Kind || w.Kind == Future:
		return nil, &mismatch{w, t}
	}
	switch t.Kind {
	case Vec:
		return d.vector(w, t, depth)
	case Record:
		return d.record(w, t, depth)
	case Variant:
		return d.variant(w, t, depth)
	case FuncRef, Service:
		if ok, err := d.subtype(w, t); err != nil {
			return nil, err
		} else if !ok {
			return nil, &mismatch{w, t}
		}
	}
	return d.scalar(w)
}

// option applies the rules of section "Coercion: Options".
func (d *decoder) option(w, t *Type, depth int) (Value, error) {
	switch w.Kind {
	case Null, Reserved:
		return Option{}, nil
	case Opt:
		tag, err := d.byte()
		if err != nil {
			return nil, err
		}
		if tag > 1 {
			return nil, fmt.Errorf("tag of an opt is %d, not 0 or 1", tag)
		}
		if tag == 0 {
			return Option{}, nil
		}
		w = w.Elem
	}
	start := d.pos
	v, err := d.value(w, t.Elem, depth+1)
	var m *mismatch
	if errors.As(err, &m) {
		d.pos = start
		return Option{}, d.skip(w, depth+1)
	}
	if err != nil {
		return nil, err
	}
	return Option{true, v}, nil
}

func (d *decoder) vector(w, t *Type, depth int) (Value, error) {
	n, err := d.uleb()
	if err != nil {
		return nil, err
	}
	if w.isBlob() && t.isBlob() {
		return d.take(n)
	}
	values := make([]Value, 0, min(n, uint64(d.left()), maxPrealloc))
	for ; n > 0; n-- {
		v, err := d.value(w.Elem, t.Elem, depth+1)
		if err != nil {
			return nil, err
		}
		values = append(values, v)
	}
	if t.isBlob() { // an empty vector of another type
		return []byte{}, nil
	}
	return values, nil
}

func (d *decoder) record(w, t *Type, depth int) (Value, error) {
	out, wf := make(Fields, 0, min(len(t.Fields), 8)), w.Fields
	for _, f := range t.Fields {
		for ; len(wf) > 0 && wf[0].ID < f.ID; wf = wf[1:] {
			if err := d.skip(wf[0].Type, depth+1); err != nil {
				return nil, err
			}
		}
		var v Value
		var err error
		if len(wf) > 0 && wf[0].ID == f.ID {
			v, err = d.value(wf[0].Type, f.Type, depth+1)
			wf = wf[1:]
		} else {
			v, err = d.missing(f.Type)
		}
		if err != nil {
			return nil, fmt.Errorf("field %s: %w", f.label(), err)
		}
		out = append(out, FieldValue{f.ID, v})
	}
	for _, f := range wf {
		if err := d.skip(f.Type, depth+1); err != nil {
			return nil, err
		}
	}
	return out, nil
}

func (f Field) label() string {
	if f.Name != "" {
		return f.Name
	}
	return fmt.Sprint(f.ID)
}

func (d *decoder) variant(w, t *Type, depth int) (Value, error) {
	f, err := d.tag(w)
	if err != nil {
		return nil, err
	}
	for _, g := range t.Fields {
		if g.ID == f.ID {
			v, err := d.value(f.Type, g.Type, depth+1)
			if err != nil {
				return nil, fmt.Errorf("variant %s: %w", g.label(), err)
			}
			return Choice{g.ID, v}, nil
		}
	}
	return nil, &mismatch{w, t}
}

func (d *decoder) tag(w *Type) (Field, error) {
	i, err := d.uleb()
	if err != nil {
		return Field{}, err
	}
	if i >= uint64(len(w.Fields)) {
		return Field{}, fmt.Errorf("variant index %d is outside of its %d cases", i, len(w.Fields))
	}
	return w.Fields[i], nil
}

func (d *decoder) subtype(w, t *Type) (bool, error) {
	if ok, known := d.proved[pair{w, t}]; known {
		return ok, nil
	}
	s := &subtypes{assumed: map[pair]bool{}, spend: d.spend}
	ok, err := s.check(w, t)
	d.proved[pair{w, t}] = ok
	return ok, err
}

// scalar reads a primitive value or a reference.
func (d *decoder) scalar(w *Type) (Value, error) {
	switch w.Kind {
	case Null, Reserved:
		return nil, nil
	case Bool:
		b, err := d.byte()
		if err == nil && b > 1 {
			err = fmt.Errorf("bool is %d, not 0 or 1", b)
		}
		return b == 1, err
	case Nat:
		return d.big(false)
	case Int:
		return d.big(true)
	case Text:
		return d.text()
	case Principal, Service:
		return d.principal()
	case FuncRef:
		return d.function()
	}
	return d.fixed(w.Kind)
}

// widths are the sizes in bytes of the kinds of fixed size.
var widths = map[Kind]uint64{Nat8: 1, Nat16: 2, Nat32: 4, Nat64: 8, Int8: 1, Int16: 2, Int32: 4, Int64: 8, Float32: 4, Float64: 8}

func (d *decoder) fixed(k Kind) (Value, error) {
	b, err := d.take(widths[k])
	if err != nil {
		return nil, err
	}
	var wide [8]byte
	copy(wide[:], b)
	u := binary.LittleEndian.Uint64(wide[:])
	switch k {
	case Nat8:
		return uint8(u), nil
	case Nat16:
		return uint16(u), nil
	case Nat32:
		return uint32(u), nil
	case Nat64:
		return u, nil
	case Int8:
		return int8(u), nil
	case Int16:
		return int16(u), nil
	case Int32:
		return int32(u), nil
	case Int64:
		return int64(u), nil
	case Float32:
		return math.Float32frombits(uint32(u)), nil
	case Float64:
		return math.Float64frombits(u), nil
	}
	panic(fmt.Sprintf("candid: kind %d has no fixed size", k))
}

// big reads a nat or int of any size, in time linear in its size.
func (d *decoder) big(signed bool) (Value, error) {
	start := d.pos
	for {
		b, err := d.byte()
		if err != nil {
			return nil, err
		}
		if b < 0x80 {
			break
		}
	}
	groups := d.buf[start:d.pos]
	if len(groups) <= 9 { // 63 bits
		return big.NewInt(small(groups, signed)), nil
	}
	// Pack the groups of seven bits, least first, into big-endian bytes.
	out := make([]byte, (len(groups)*7+7)/8)
	for i, g := range groups {
		bit := i * 7
		at, shift := len(out)-1-bit/8, bit%8
		wide := uint16(g&0x7f) << shift
		out[at] |= byte(wide)
		if at > 0 {
			out[at-1] |= byte(wide >> 8)
		}
	}
	v := new(big.Int).SetBytes(out)
	if signed && groups[len(groups)-1]&0x40 != 0 {
		v.Sub(v, new(big.Int).Lsh(big.NewInt(1), uint(len(groups)*7)))
	}
	return v, nil
}

func small(groups []byte, signed bool) int64 {
	var v int64
	for i, g := range groups {
		v |= int64(g&0x7f) << (7 * i)
	}
	if signed && groups[len(groups)-1]&0x40 != 0 {
		v |= -1 << (7 * len(groups))
	}
	return v
}

// principal reads the form by value; references by index do not occur on the IC.
func (d *decoder) principal() (ic.Principal, error) {
	tag, err := d.byte()
	if err != nil {
		return "", err
	}
	if tag != 1 {
		return "", fmt.Errorf("tag of a reference is %d: only 1, by value, is supported", tag)
	}
	n, err := d.uleb()
	if err != nil {
		return "", err
	}
	b, err := d.take(n)
	if err != nil {
		return "", err
	}
	return ic.PrincipalFromBytes(b)
}

func (d *decoder) function() (Value, error) {
	tag, err := d.byte()
	if err != nil {
		return nil, err
	}
	if tag != 1 {
		return nil, fmt.Errorf("tag of a function is %d: only 1, by value, is supported", tag)
	}
	p, err := d.principal()
	if err != nil {
		return nil, err
	}
	name, err := d.text()
	return Func{p, name}, err
}
