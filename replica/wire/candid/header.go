package candid

import (
	"errors"
	"fmt"
	"unicode/utf8"
)

// reader walks over a message. Its methods fail where bytes are missing.
type reader struct {
	buf []byte
	pos int
}

var errShort = errors.New("message ends too early")

func (r *reader) left() int { return len(r.buf) - r.pos }

func (r *reader) byte() (byte, error) {
	if r.left() < 1 {
		return 0, errShort
	}
	r.pos++
	return r.buf[r.pos-1], nil
}

func (r *reader) take(n uint64) ([]byte, error) {
	if n > uint64(r.left()) {
		return nil, errShort
	}
	b := r.buf[r.pos : r.pos+int(n) : r.pos+int(n)]
	r.pos += int(n)
	return b, nil
}

// uleb reads a number of at most 64 bits; padded encodings are allowed.
func (r *reader) uleb() (uint64, error) {
	var v uint64
	for shift := uint(0); ; shift += 7 {
		b, err := r.byte()
		if err != nil {
			return 0, err
		}
		bits := uint64(b & 0x7f)
		if bits != 0 && (shift > 63 || bits<<shift>>shift != bits) {
			return 0, errors.New("number has more than 64 bits")
		}
		if shift < 64 {
			v |= bits << shift
		}
		if b < 0x80 {
			return v, nil
		}
	}
}

// sleb reads a type index or opcode.
func (r *reader) sleb() (int64, error) {
	var v int64
	for shift := uint(0); ; shift += 7 {
		b, err := r.byte()
		if err != nil {
			return 0, err
		}
		if shift > 56 {
			return 0, errors.New("type index has more than 63 bits")
		}
		v |= int64(b&0x7f) << shift
		if b < 0x80 {
			if b&0x40 != 0 {
				v |= -1 << (shift + 7)
			}
			return v, nil
		}
	}
}

// count reads a number of items of at least size bytes each, so that a
// claimed length never makes us allocate more than the message can hold.
func (r *reader) count(size int) (int, error) {
	n, err := r.uleb()
	if err != nil {
		return 0, err
	}
	if n > uint64(r.left()/size) {
		return 0, errShort
	}
	return int(n), nil
}

func (r *reader) text() (string, error) {
	n, err := r.uleb()
	if err != nil {
		return "", err
	}
	b, err := r.take(n)
	if err != nil {
		return "", err
	}
	if !utf8.Valid(b) {
		return "", errors.New("text is not UTF-8")
	}
	return string(b), nil
}

// header reads magic, type table and argument types.
func (r *reader) header() ([]*Type, error) {
	if m, err := r.take(4); err != nil || string(m) != "DIDL" {
		return nil, errors.New("message does not start with DIDL")
	}
	n, err := r.count(2) // an opcode and a count or index
	if err != nil {
		return nil, err
	}
	table := make([]Type, n)
	for i := range table {
		if err := r.definition(&table[i], table); err != nil {
			return nil, fmt.Errorf("type %d: %w", i, err)
		}
	}
	for i := range table {
		for _, m := range table[i].Methods {
			if m.Func.Kind != FuncRef {
				return nil, fmt.Errorf("type %d: method %q is not a function", i, m.Name)
			}
		}
	}
	return r.indexes(table)
}

// index reads a reference to a primitive type or to the table.
func (r *reader) index(table []Type) (*Type, error) {
	i, err := r.sleb()
	switch {
	case err != nil:
		return nil, err
	case i >= 0 && i < int64(len(table)):
		return &table[i], nil
	case i < 0 && i >= int64(Principal) && Kind(i).primitive():
		return Prim(Kind(i)), nil
	}
	return nil, fmt.Errorf("type index %d is neither in the table of %d nor a primitive type", i, len(table))
}

func (r *reader) indexes(table []Type) ([]*Type, error) {
	n, err := r.count(1)
	if err != nil {
		return nil, err
	}
	ts := make([]*Type, n)
	for i := range ts {
		if ts[i], err = r.index(table); err != nil {
			return nil, err
		}
	}
	return ts, nil
}

func (r *reader) definition(t *Type, table []Type) (err error) {
	op, err := r.sleb()
	if err != nil {
		return err
	}
	if op < int64(Principal) {
		t.Kind = Future
		n, err := r.uleb()
		if err == nil {
			_, err = r.take(n)
		}
		return err
	}
	if op >= 0 || Kind(op).primitive() {
		return fmt.Errorf("opcode %d is not a composite type", op)
	}
	switch t.Kind = Kind(op); t.Kind {
	case Opt, Vec:
		t.Elem, err = r.index(table)
	case Record, Variant:
		t.Fields, err = r.fields(table)
	case FuncRef:
		if t.Args, err = r.indexes(table); err != nil {
			return err
		}
		if t.Results, err = r.indexes(table); err != nil {
			return err
		}
		t.Modes, err = r.modes()
	case Service:
		t.Methods, err = r.methods(table)
	}
	return err
}

func (r *reader) fields(table []Type) ([]Field, error) {
	n, err := r.count(2)
	if err != nil {
		return nil, err
	}
	fs := make([]Field, n)
	for i := range fs {
		id, err := r.uleb()
		if err != nil {
			return nil, err
		}
		if id > 0xffffffff {
			return nil, fmt.Errorf("field id %d has more than 32 bits", id)
		}
		fs[i].ID = uint32(id)
		if i > 0 && fs[i-1].ID >= fs[i].ID {
			return nil, fmt.Errorf("field %d follows field %d: ids must increase", id, fs[i-1].ID)
		}
		if fs[i].Type, err = r.index(table); err != nil {
			return nil, err
		}
	}
	return fs, nil
}

func (r *reader) modes() ([]Mode, error) {
	n, err := r.count(1)
	if err != nil {
		return nil, err
	}
	ms := make([]Mode, n)
	for i := range ms {
		b, err := r.byte()
		if err != nil {
			return nil, err
		}
		if b < byte(Query) || b > byte(CompositeQuery) {
			return nil, fmt.Errorf("function annotation %d is unknown", b)
		}
		ms[i] = Mode(b)
	}
	return ms, nil
}

func (r *reader) methods(table []Type) ([]Method, error) {
	n, err := r.count(2)
	if err != nil {
		return nil, err
	}
	ms := make([]Method, n)
	for i := range ms {
		if ms[i].Name, err = r.text(); err != nil {
			return nil, err
		}
		if i > 0 && ms[i-1].Name >= ms[i].Name {
			return nil, fmt.Errorf("method %q follows %q: names must increase", ms[i].Name, ms[i-1].Name)
		}
		if ms[i].Func, err = r.index(table); err != nil {
			return nil, err
		}
	}
	return ms, nil
}
