package candid

import (
	"fmt"
	"math/big"
	"reflect"

	"ashlar/replica/ic"
)

// Marshal encodes Go values (see TypeOf) as the arguments of a message. It
// panics if a value has no Candid form: that is a defect of the caller.
func Marshal(args ...any) []byte {
	types, values := make([]*Type, len(args)), make([]Value, len(args))
	g := &goTypes{known: map[reflect.Type]*Type{}}
	for i, a := range args {
		v := reflect.ValueOf(a)
		types[i], values[i] = g.of(v.Type()), fromGo(v)
	}
	out, err := Encode(types, values)
	if err != nil {
		panic(err.Error())
	}
	return out
}

// Unmarshal decodes a message into the Go values that args point to, with
// DefaultLimits.
func Unmarshal(message []byte, args ...any) error {
	return UnmarshalLimits(message, DefaultLimits(len(message)), args...)
}

// UnmarshalLimits is Unmarshal with limits of the caller's choice.
func UnmarshalLimits(message []byte, lim Limits, args ...any) error {
	types, into := make([]*Type, len(args)), make([]reflect.Value, len(args))
	g := &goTypes{known: map[reflect.Type]*Type{}}
	for i, a := range args {
		into[i] = reflect.ValueOf(a).Elem()
		types[i] = g.of(into[i].Type())
	}
	values, err := Decode(message, types, lim)
	if err != nil {
		return err
	}
	for i, v := range values {
		if err := toGo(into[i], v); err != nil {
			return fmt.Errorf("candid: argument %d: %w", i, err)
		}
	}
	return nil
}

// fromGo makes the Value of a Go value.
func fromGo(v reflect.Value) Value {
	switch x := v.Interface().(type) {
	case Natural:
		return orZero(x.Int)
	case Integer:
		return orZero(x.Int)
	case ic.Cycles:
		return x.Big()
	case ic.Principal:
		return x
	case ic.CanisterID:
		return x.Principal
	case ic.SubnetID:
		return x.Principal
	case ic.NodeID:
		return x.Principal
	case Func:
		return x
	case Unit, Any:
		return nil
	}
	switch v.Kind() {
	case reflect.Pointer:
		if v.IsNil() {
			return Option{}
		}
		return Option{true, fromGo(v.Elem())}
	case reflect.Slice, reflect.Array:
		return fromGoSlice(v)
	case reflect.Struct:
		return fromGoStruct(v)
	}
	return plain(v)
}

func orZero(i *big.Int) *big.Int {
	if i == nil {
		return new(big.Int)
	}
	return i
}

// plain strips a named type, such as type Height uint64, of its name.
func plain(v reflect.Value) Value {
	switch v.Kind() {
	case reflect.Bool:
		return v.Bool()
	case reflect.String:
		return v.String()
	case reflect.Uint8:
		return uint8(v.Uint())
	case reflect.Uint16:
		return uint16(v.Uint())
	case reflect.Uint32:
		return uint32(v.Uint())
	case reflect.Uint64:
		return v.Uint()
	case reflect.Int8:
		return int8(v.Int())
	case reflect.Int16:
		return int16(v.Int())
	case reflect.Int32:
		return int32(v.Int())
	case reflect.Int64:
		return v.Int()
	case reflect.Float32:
		return float32(v.Float())
	case reflect.Float64:
		return v.Float()
	}
	panic(fmt.Sprintf("candid: Go type %s has no Candid form", v.Type()))
}

func fromGoSlice(v reflect.Value) Value {
	if v.Type().Elem().Kind() == reflect.Uint8 {
		b := make([]byte, v.Len())
		reflect.Copy(reflect.ValueOf(b), v)
		return b
	}
	out := make([]Value, v.Len())
	for i := range out {
		out[i] = fromGo(v.Index(i))
	}
	return out
}

func fromGoStruct(v reflect.Value) Value {
	var out Fields
	variant := false
	for _, f := range fieldsOf(v.Type()) {
		if f.variant {
			variant = true
			continue
		}
		x := v.Field(f.index)
		if variant {
			if x.IsNil() {
				continue
			}
			x = x.Elem()
		}
		out = append(out, FieldValue{f.id, fromGo(x)})
	}
	if variant {
		if len(out) != 1 {
			panic(fmt.Sprintf("candid: %d fields of the variant %s are set, want 1", len(out), v.Type()))
		}
		return Choice(out[0])
	}
	sortFields(out)
	return out
}

func sortFields(f Fields) {
	for i := 1; i < len(f); i++ {
		for j := i; j > 0 && f[j-1].ID > f[j].ID; j-- {
			f[j-1], f[j] = f[j], f[j-1]
		}
	}
}

// toGo stores a Value of the type TypeOf(into.Type()). The only error is a
// number or a blob that the Go type is too small for.
func toGo(into reflect.Value, v Value) error {
	switch p := into.Addr().Interface().(type) {
	case *Natural:
		p.Int = v.(*big.Int)
		return nil
	case *Integer:
		p.Int = v.(*big.Int)
		return nil
	case *ic.Cycles:
		c, err := ic.CyclesFromBig(v.(*big.Int))
		*p = c
		return err
	case *ic.CanisterID:
		p.Principal = v.(ic.Principal)
		return nil
	case *ic.SubnetID:
		p.Principal = v.(ic.Principal)
		return nil
	case *ic.NodeID:
		p.Principal = v.(ic.Principal)
		return nil
	case *Func:
		*p = v.(Func)
		return nil
	case *Unit, *Any:
		return nil
	}
	switch into.Kind() {
	case reflect.Pointer:
		return toGoPointer(into, v.(Option))
	case reflect.Slice, reflect.Array:
		return toGoSlice(into, v)
	case reflect.Struct:
		return toGoStruct(into, v)
	}
	into.Set(reflect.ValueOf(v).Convert(into.Type()))
	return nil
}

func toGoPointer(into reflect.Value, o Option) error {
	if !o.Some {
		into.SetZero()
		return nil
	}
	into.Set(reflect.New(into.Type().Elem()))
	return toGo(into.Elem(), o.Value)
}

func toGoSlice(into reflect.Value, v Value) error {
	if b, ok := v.([]byte); ok {
		if into.Kind() == reflect.Array {
			if len(b) != into.Len() {
				return fmt.Errorf("blob has %d bytes, want %d", len(b), into.Len())
			}
			reflect.Copy(into, reflect.ValueOf(b))
			return nil
		}
		into.Set(reflect.ValueOf(b).Convert(into.Type()))
		return nil
	}
	vs := v.([]Value)
	into.Set(reflect.MakeSlice(into.Type(), len(vs), len(vs)))
	for i, x := range vs {
		if err := toGo(into.Index(i), x); err != nil {
			return fmt.Errorf("element %d: %w", i, err)
		}
	}
	return nil
}

func toGoStruct(into reflect.Value, v Value) error {
	into.SetZero()
	for _, f := range fieldsOf(into.Type()) {
		switch x := v.(type) {
		case Fields:
			for _, y := range x {
				if y.ID == f.id {
					if err := toGo(into.Field(f.index), y.Value); err != nil {
						return fmt.Errorf("field %s: %w", f.name, err)
					}
				}
			}
		case Choice:
			if !f.variant && x.ID == f.id {
				return toGoPointer(into.Field(f.index), Option{true, x.Value})
			}
		}
	}
	return nil
}
