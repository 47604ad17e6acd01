package engine

import (
	"cmp"
	"fmt"
	"reflect"
	"slices"
	"sync"
	"unsafe"

	"github.com/tetratelabs/wazero"
)

// This file: the machine code of a module that wazero has compiled. wazero's
// interface has no way to it but by a file that it reads into memory of its own,
// which takes ten times as long as mapping it. So this reaches for what wazero
// keeps, by reflection, and checks names and types on the way: another layout is an
// error, never a wrong access. TestInside holds that the version of go.mod has it.

// inside is what wazero keeps of a compiled module. It is valid while its engine is locked.
type inside struct {
	code    *[]byte           // the machine code, mapped; unmapped when nobody has the module any more
	offsets *[]int            // of the module's own functions in it
	self    unsafe.Pointer    // the module
	sorted  *[]unsafe.Pointer // all modules of the engine that have code, by its address

	toExecutables, toCode uintptr // offsets of the fields that lead from a module to its code
}

// withInside locks wazero's engine and calls f with what it keeps of c.
func withInside(c wazero.CompiledModule, f func(in *inside) error) error {
	own := reach{reflect.ValueOf(c), nil}
	engine := own.field("compiledEngine")
	mux := engine.field("mux").typed(reflect.TypeFor[sync.RWMutex]())
	if mux.err != nil {
		return otherWazero(mux.err)
	}
	lock := (*sync.RWMutex)(mux.address())
	lock.Lock()
	defer lock.Unlock()
	module := engine.field("compiledModules").at(own.field("module").field("ID")).field("compiledModule")
	executables := module.field("executables")
	code := executables.field("executable").typed(reflect.TypeFor[[]byte]())
	offsets := module.field("functionOffsets").typed(reflect.TypeFor[[]int]())
	sorted := engine.field("sortedCompiledModules")
	for _, r := range []reach{code, offsets, sorted} {
		if r.err != nil {
			return otherWazero(r.err)
		}
	}
	if sorted = sorted.typed(reflect.SliceOf(reflect.PointerTo(module.v.Type()))); sorted.err != nil {
		return otherWazero(sorted.err)
	}
	return f(&inside{
		(*[]byte)(code.address()), (*[]int)(offsets.address()), module.address(), (*[]unsafe.Pointer)(sorted.address()),
		offsetOf(module, "executables"), offsetOf(executables, "executable"),
	})
}

func otherWazero(err error) error {
	return fmt.Errorf("engine: compiled code cannot be reached in this version of wazero: %w", err)
}

func offsetOf(r reach, name string) uintptr {
	f, _ := r.v.Type().FieldByName(name)
	return f.Offset
}

// fill gives a module that has no code this one.
func (in *inside) fill(code []byte, offsets []int) {
	*in.code, *in.offsets = code, offsets
	at, _ := slices.BinarySearchFunc(*in.sorted, in.address(in.self), func(m unsafe.Pointer, want uintptr) int {
		return cmp.Compare(in.address(m), want)
	})
	*in.sorted = slices.Insert(*in.sorted, at, in.self)
}

// address of a module's code.
func (in *inside) address(module unsafe.Pointer) uintptr {
	executables := *(*unsafe.Pointer)(unsafe.Add(module, in.toExecutables))
	return uintptr(unsafe.Pointer(unsafe.SliceData(*(*[]byte)(unsafe.Add(executables, in.toCode)))))
}

// reach is a way into a value, or why it does not go on.
type reach struct {
	v   reflect.Value
	err error
}

// field follows pointers and interfaces, and takes a field.
func (r reach) field(name string) reach {
	v := r.v
	for r.err == nil && (v.Kind() == reflect.Pointer || v.Kind() == reflect.Interface) {
		if v.IsNil() {
			return reach{err: fmt.Errorf("there is no %s", name)}
		}
		v = v.Elem()
	}
	if r.err != nil {
		return r
	}
	if v.Kind() != reflect.Struct || !v.FieldByName(name).IsValid() {
		return reach{err: fmt.Errorf("%v has no field %s", v.Type(), name)}
	}
	f := v.FieldByName(name)
	if f.Kind() == reflect.Pointer && f.Type().Elem().Kind() == reflect.Struct && !f.IsNil() {
		f = f.Elem()
	}
	return reach{f, nil}
}

// at takes an element of a map.
func (r reach) at(key reach) reach {
	if r.err != nil {
		return r
	}
	if key.err != nil {
		return key
	}
	if r.v.Kind() != reflect.Map || r.v.Type().Key() != key.v.Type() || !r.v.MapIndex(key.v).IsValid() {
		return reach{err: fmt.Errorf("%v has no such element", r.v.Type())}
	}
	return reach{r.v.MapIndex(key.v), nil}
}

// typed holds that the value is of a type and has an address.
func (r reach) typed(t reflect.Type) reach {
	if r.err == nil && (r.v.Type() != t || !r.v.CanAddr()) {
		return reach{err: fmt.Errorf("a %v is no %v", r.v.Type(), t)}
	}
	return r
}

func (r reach) address() unsafe.Pointer { return unsafe.Pointer(r.v.UnsafeAddr()) }
