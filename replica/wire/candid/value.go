package candid

import (
	"bytes"
	"math/big"

	"ashlar/replica/ic"
)

// Value is a decoded value:
//
//	nil                         null, reserved
//	bool, string                bool, text
//	*big.Int                    nat, int
//	uint8 ... uint64, int8 ...  nat8 ... nat64, int8 ... int64
//	float32, float64            float32, float64
//	ic.Principal                principal, service
//	Option                      opt
//	[]byte                      vec nat8
//	[]Value                     any other vec
//	Fields                      record
//	Choice                      variant
//	Func                        func
type Value = any

// Option is a value of an opt type.
type Option struct {
	Some  bool
	Value Value
}

// FieldValue is a field of a record.
type FieldValue struct {
	ID    uint32
	Value Value
}

// Fields is a record, by increasing ID.
type Fields []FieldValue

// Get finds a field by its name.
func (f Fields) Get(name string) (Value, bool) {
	id := Hash(name)
	for _, x := range f {
		if x.ID == id {
			return x.Value, true
		}
	}
	return nil, false
}

// Choice is a value of a variant type.
type Choice struct {
	ID    uint32
	Value Value
}

// Func is a reference to a method of a canister.
type Func struct {
	Service ic.Principal
	Method  string
}

// Equal compares two values; a NaN equals itself.
func Equal(a, b Value) bool {
	switch x := a.(type) {
	case *big.Int:
		y, ok := b.(*big.Int)
		return ok && x.Cmp(y) == 0
	case float32:
		y, ok := b.(float32)
		return ok && (x == y || x != x && y != y)
	case float64:
		y, ok := b.(float64)
		return ok && (x == y || x != x && y != y)
	case []byte:
		y, ok := b.([]byte)
		return ok && bytes.Equal(x, y)
	case Option:
		y, ok := b.(Option)
		return ok && x.Some == y.Some && Equal(x.Value, y.Value)
	case Choice:
		y, ok := b.(Choice)
		return ok && x.ID == y.ID && Equal(x.Value, y.Value)
	case []Value:
		y, ok := b.([]Value)
		return ok && equalAll(len(x), len(y), func(i int) (Value, Value) { return x[i], y[i] })
	case Fields:
		y, ok := b.(Fields)
		return ok && equalAll(len(x), len(y), func(i int) (Value, Value) {
			return Choice(x[i]), Choice(y[i])
		})
	}
	return a == b
}

func equalAll(n, m int, at func(int) (Value, Value)) bool {
	if n != m {
		return false
	}
	for i := 0; i < n; i++ {
		if a, b := at(i); !Equal(a, b) {
			return false
		}
	}
	return true
}
