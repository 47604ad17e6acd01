// Package candid encodes and decodes Candid, the interface language of canisters.
//
//	Go struct ──TypeOf──> *Type ─┐
//	                             ├─ Decode(bytes, types) -> Values   (coerced to the types asked for)
//	message: DIDL│types│values ──┘
//	Marshal / Unmarshal do both steps for Go values (see TypeOf for the mapping).
//
// Decoding follows the specification's coercion rules: extra fields are
// skipped, missing optional ones read as null, and what does not fit under an
// opt becomes null. Hostile bytes are bounded by Limits: every value decoded or
// skipped costs. Specification: dfinity/candid spec/Candid.md, version 0.1.8.
package candid

import "sort"

// Kind is a type constructor; the numbers are the opcodes of the binary form.
type Kind int8

// The kinds of type. Future stands for any opcode this package does not know.
const (
	Null      Kind = -1
	Bool      Kind = -2
	Nat       Kind = -3
	Int       Kind = -4
	Nat8      Kind = -5
	Nat16     Kind = -6
	Nat32     Kind = -7
	Nat64     Kind = -8
	Int8      Kind = -9
	Int16     Kind = -10
	Int32     Kind = -11
	Int64     Kind = -12
	Float32   Kind = -13
	Float64   Kind = -14
	Text      Kind = -15
	Reserved  Kind = -16
	Empty     Kind = -17
	Opt       Kind = -18
	Vec       Kind = -19
	Record    Kind = -20
	Variant   Kind = -21
	FuncRef   Kind = -22
	Service   Kind = -23
	Principal Kind = -24
	Future    Kind = -25
)

var kindNames = [...]string{"", "null", "bool", "nat", "int", "nat8", "nat16", "nat32", "nat64", "int8", "int16", "int32", "int64",
	"float32", "float64", "text", "reserved", "empty", "opt", "vec", "record", "variant", "func", "service", "principal", "future type"}

// String is the keyword of the kind.
func (k Kind) String() string {
	if k >= 0 || int(-k) >= len(kindNames) {
		return "unknown type"
	}
	return kindNames[-k]
}

func (k Kind) primitive() bool { return k <= Null && k >= Empty || k == Principal }

// Mode is an annotation of a function.
type Mode uint8

// The annotations; the numbers are those of the binary form.
const (
	Query          Mode = 1
	Oneway         Mode = 2
	CompositeQuery Mode = 3
)

// Type is a Candid type. Types may be recursive: they are graphs of pointers,
// not changed once in use.
type Type struct {
	Kind    Kind
	Elem    *Type    // Opt, Vec
	Fields  []Field  // Record, Variant; by increasing ID
	Args    []*Type  // FuncRef
	Results []*Type  // FuncRef
	Modes   []Mode   // FuncRef; increasing
	Methods []Method // Service; by increasing name
}

// Field of a record or variant. Name is empty where only the ID is known.
type Field struct {
	ID   uint32
	Name string
	Type *Type
}

// Method of a service.
type Method struct {
	Name string
	Func *Type
}

// Prim is a primitive type.
func Prim(k Kind) *Type { return prims[-k] }

var prims = func() (p [26]*Type) {
	for i := range p {
		p[i] = &Type{Kind: Kind(-i)}
	}
	return p
}()

// OptOf is opt t.
func OptOf(t *Type) *Type { return &Type{Kind: Opt, Elem: t} }

// VecOf is vec t.
func VecOf(t *Type) *Type { return &Type{Kind: Vec, Elem: t} }

// RecordOf sorts the fields by ID.
func RecordOf(fields ...Field) *Type { return &Type{Kind: Record, Fields: sorted(fields)} }

// VariantOf sorts the fields by ID.
func VariantOf(fields ...Field) *Type { return &Type{Kind: Variant, Fields: sorted(fields)} }

// F is a field with a name.
func F(name string, t *Type) Field { return Field{ID: Hash(name), Name: name, Type: t} }

// FuncOf is a function type.
func FuncOf(args, results []*Type, modes ...Mode) *Type {
	return &Type{Kind: FuncRef, Args: args, Results: results, Modes: modes}
}

// ServiceOf sorts the methods by name.
func ServiceOf(methods ...Method) *Type {
	sort.Slice(methods, func(i, j int) bool { return methods[i].Name < methods[j].Name })
	return &Type{Kind: Service, Methods: methods}
}

func sorted(f []Field) []Field {
	sort.Slice(f, func(i, j int) bool { return f[i].ID < f[j].ID })
	return f
}

// Hash is the ID of a field's name.
func Hash(name string) uint32 {
	var h uint32
	for i := 0; i < len(name); i++ {
		h = h*223 + uint32(name[i])
	}
	return h
}

// isBlob tells whether t is vec nat8, which is kept as []byte.
func (t *Type) isBlob() bool { return t.Kind == Vec && t.Elem.Kind == Nat8 }

// optional tells whether a missing value of this type reads as null.
func (t *Type) optional() bool { return t.Kind == Opt || t.Kind == Null || t.Kind == Reserved }
