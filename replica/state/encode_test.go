package state

import (
	"bytes"
	"math/rand/v2"
	"reflect"
	"testing"
)

// What is encoded by hand is what storage makes of it, whatever is in it: zero values,
// lengths around the bounds of their encodings, all kinds of absence.
func TestEncodingByHand(t *testing.T) {
	rng := rand.New(rand.NewPCG(5, 6))
	check := func(v any) {
		t.Helper()
		want, err := storage.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		if got := encoded(v); !bytes.Equal(got, want) {
			t.Fatalf("%+v\nis encoded as %x,\nwant          %x", v, got, want)
		}
	}
	check(&Record{})
	check(&Call{})
	check([]Global{})
	for range 3000 {
		var r Record
		var c Call
		var g []Global
		scatter(rng, reflect.ValueOf(&r).Elem(), 0)
		scatter(rng, reflect.ValueOf(&c).Elem(), 0)
		for range rng.IntN(40) {
			var one Global
			scatter(rng, reflect.ValueOf(&one).Elem(), 0)
			g = append(g, one)
		}
		check(&r)
		check(&c)
		if g != nil {
			check(g)
		}
	}
}

// scatter fills some of a value with anything.
func scatter(rng *rand.Rand, v reflect.Value, depth int) {
	if rng.IntN(3) == 0 || depth > 5 {
		return
	}
	length := func() int {
		if rng.IntN(4) == 0 {
			return rng.IntN(300)
		}
		return rng.IntN(3)
	}
	switch v.Kind() {
	case reflect.Struct:
		for i := range v.NumField() {
			if v.Field(i).CanSet() {
				scatter(rng, v.Field(i), depth)
			}
		}
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		scatter(rng, v.Elem(), depth+1)
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), min(length(), 30), 40))
		for i := range v.Len() {
			scatter(rng, v.Index(i), depth+1)
		}
	case reflect.Array:
		for i := range v.Len() {
			scatter(rng, v.Index(i), depth)
		}
	case reflect.String:
		v.SetString(string(bytes.Repeat([]byte("x"), length())))
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Uint64, reflect.Uint8, reflect.Uint32, reflect.Uint16, reflect.Uint:
		v.SetUint(rng.Uint64() >> rng.UintN(64) & (1<<v.Type().Bits() - 1))
	case reflect.Int64, reflect.Int:
		v.SetInt(rng.Int64() >> rng.UintN(64))
	}
}
