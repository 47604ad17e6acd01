package candid

import (
	"fmt"
	"math/big"
	"reflect"
	"strings"

	"ashlar/replica/ic"
)

// Go types that stand for Candid types which Go has no word for.
type (
	// Natural is nat; a nil Int is zero.
	Natural struct{ *big.Int }
	// Integer is int; a nil Int is zero.
	Integer struct{ *big.Int }
	// Unit is null.
	Unit struct{}
	// Any is reserved.
	Any struct{}
	// OneOf, embedded in a struct, makes it a variant: its fields are
	// pointers, of which exactly one is not nil.
	OneOf struct{}
)

// Nat64Of is a Natural.
func Nat64Of(n uint64) Natural { return Natural{new(big.Int).SetUint64(n)} }

// NatOfCycles is a Natural.
func NatOfCycles(c ic.Cycles) Natural { return Natural{c.Big()} }

// Uint64 is the number, if it has at most 64 bits.
func (n Natural) Uint64() (uint64, bool) {
	if n.Int == nil {
		return 0, true
	}
	return n.Int.Uint64(), n.Int.IsUint64()
}

// Cycles is the number, if it has at most 128 bits.
func (n Natural) Cycles() (ic.Cycles, bool) {
	if n.Int == nil {
		return ic.Cycles{}, true
	}
	c, err := ic.CyclesFromBig(n.Int)
	return c, err == nil
}

// TypeOf maps a Go type to a Candid type:
//
//	bool, string, float32, float64, uintN, intN   of the same name (string: text)
//	Natural, ic.Cycles / Integer                  nat / int
//	ic.Principal, ic.CanisterID, SubnetID, NodeID principal
//	[]byte, [N]byte                               vec nat8
//	[]T, *T                                       vec, opt
//	Unit, Any, Func                               null, reserved, func () -> ()
//	struct                                        record; each field is named by its tag: `candid:"name"`, a number for a tuple
//	struct with OneOf embedded                    variant; a field *T is the case with payload T
//
// It panics on any other type: that is a defect of the caller.
func TypeOf(t reflect.Type) *Type { return (&goTypes{known: map[reflect.Type]*Type{}}).of(t) }

// For is TypeOf for a type known to the caller.
func For[T any]() *Type { return TypeOf(reflect.TypeFor[T]()) }

type goTypes struct{ known map[reflect.Type]*Type }

var (
	typeNatural = reflect.TypeFor[Natural]()
	typeCycles  = reflect.TypeFor[ic.Cycles]()
	typeInteger = reflect.TypeFor[Integer]()
	typeUnit    = reflect.TypeFor[Unit]()
	typeAny     = reflect.TypeFor[Any]()
	typeOneOf   = reflect.TypeFor[OneOf]()
	typeFunc    = reflect.TypeFor[Func]()
	special     = map[reflect.Type]*Type{
		typeNatural: Prim(Nat), typeCycles: Prim(Nat), typeInteger: Prim(Int), typeUnit: Prim(Null), typeAny: Prim(Reserved),
		reflect.TypeFor[ic.Principal](): Prim(Principal), reflect.TypeFor[ic.CanisterID](): Prim(Principal),
		reflect.TypeFor[ic.SubnetID](): Prim(Principal), reflect.TypeFor[ic.NodeID](): Prim(Principal),
		typeFunc: FuncOf(nil, nil),
	}
	kindOf = map[reflect.Kind]Kind{
		reflect.Bool: Bool, reflect.String: Text, reflect.Float32: Float32, reflect.Float64: Float64,
		reflect.Uint8: Nat8, reflect.Uint16: Nat16, reflect.Uint32: Nat32, reflect.Uint64: Nat64,
		reflect.Int8: Int8, reflect.Int16: Int16, reflect.Int32: Int32, reflect.Int64: Int64,
	}
)

func (g *goTypes) of(t reflect.Type) *Type {
	if s := special[t]; s != nil {
		return s
	}
	if k, ok := kindOf[t.Kind()]; ok {
		return Prim(k)
	}
	if known := g.known[t]; known != nil {
		return known
	}
	out := &Type{}
	g.known[t] = out
	switch t.Kind() {
	case reflect.Pointer:
		out.Kind, out.Elem = Opt, g.of(t.Elem())
	case reflect.Slice:
		out.Kind, out.Elem = Vec, g.of(t.Elem())
	case reflect.Array:
		if t.Elem().Kind() != reflect.Uint8 {
			panic(fmt.Sprintf("candid: %s: only arrays of bytes have a Candid type", t))
		}
		out.Kind, out.Elem = Vec, Prim(Nat8)
	case reflect.Struct:
		g.structure(t, out)
	default:
		panic(fmt.Sprintf("candid: Go type %s has no Candid type", t))
	}
	return out
}

func (g *goTypes) structure(t reflect.Type, out *Type) {
	out.Kind = Record
	for _, f := range fieldsOf(t) {
		if f.variant {
			out.Kind = Variant
			continue
		}
		ft := f.typ
		if out.Kind == Variant {
			if ft.Kind() != reflect.Pointer {
				panic(fmt.Sprintf("candid: field %s of the variant %s is not a pointer", f.name, t))
			}
			ft = ft.Elem()
		}
		out.Fields = append(out.Fields, Field{ID: f.id, Name: f.name, Type: g.of(ft)})
	}
	sorted(out.Fields)
	for i := 1; i < len(out.Fields); i++ {
		if out.Fields[i-1].ID == out.Fields[i].ID {
			panic(fmt.Sprintf("candid: %s has two fields with the id of %s", t, out.Fields[i].Name))
		}
	}
}

// goField is a field of a Go struct as its tag names it.
type goField struct {
	index   int
	id      uint32
	name    string
	typ     reflect.Type
	variant bool // the embedded OneOf
}

func fieldsOf(t reflect.Type) []goField {
	var out []goField
	for i := range t.NumField() {
		f := t.Field(i)
		if f.Type == typeOneOf && f.Anonymous {
			out = append([]goField{{variant: true}}, out...)
			continue
		}
		name, ok := f.Tag.Lookup("candid")
		if !ok || !f.IsExported() {
			panic(fmt.Sprintf("candid: field %s of %s has no tag `candid:\"name\"` or is not exported", f.Name, t))
		}
		out = append(out, goField{index: i, id: fieldID(name), name: name, typ: f.Type})
	}
	return out
}

// fieldID is the number itself for a tuple's field, else the hash.
func fieldID(name string) uint32 {
	if name != "" && strings.Trim(name, "0123456789") == "" {
		var id uint32
		if _, err := fmt.Sscan(name, &id); err == nil {
			return id
		}
	}
	return Hash(name)
}
