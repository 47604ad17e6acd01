package did

import (
	"strings"
	"testing"

	"ashlar/replica/wire/candid"
)

const counter = `
// A counter, as Motoko writes interfaces.
type Result = variant { ok : nat; err : text };
type Alias = Result;
type Node = record { value : nat; next : opt Node; "with space" : blob; 7 : null };
service : (init : nat, opt Node) -> {
  inc : (by : nat) -> (Result);
  "get it" : () -> (nat) query;
  notify : (Alias) -> () oneway;
  self : () -> (service {});
  callback : Callback;
};
type Unused = nat; /* a comment /* in a comment */ */
`

func TestParseFile(t *testing.T) {
	src := strings.Replace(counter, "type Unused = nat;", "", 1)
	src = "type Callback = func (text, nat8) -> (text) composite_query;" + src
	f, err := ParseFile(src)
	if err != nil {
		t.Fatal(err)
	}
	if len(f.Init) != 2 || f.Init[1].Elem != f.Types["Node"] || len(f.Service.Methods) != 5 {
		t.Fatalf("init %v, methods %v", f.Init, f.Service.Methods)
	}
	m := map[string]*candid.Type{}
	for _, x := range f.Service.Methods {
		m[x.Name] = x.Func
	}
	if m["get it"].Modes[0] != candid.Query || m["notify"].Args[0].Kind != candid.Variant || m["callback"].Modes[0] != candid.CompositeQuery {
		t.Errorf("methods are %+v", m)
	}
	node := f.Types["Node"]
	if len(node.Fields) != 4 || node.Fields[0].ID != 7 {
		t.Errorf("fields are %+v", node.Fields)
	}
	if f.Types["Alias"].Kind != candid.Variant {
		t.Error("an alias is not its type")
	}
}

func TestParseFileRefuses(t *testing.T) {
	for name, src := range map[string]string{
		"a name that is not defined": "type A = B;",
		"a name for itself":          "type A = A;",
		"names in a circle":          "type A = B; type B = A;",
		"a name twice":               "type A = nat; type A = int;",
		"a field twice":              "type A = record { a : nat; a : int };",
		"a method twice":             "service : { a : () -> (); a : () -> () }",
		"a method that is no func":   "type A = nat; service : { a : A }; type S = service { a : A }",
		"a service that is none":     "type A = nat; service : A",
		"a field id of 33 bits":      "type A = record { 4294967296 : nat };",
		"no semicolon":               "type A = nat type B = nat",
		"a text without end":         `type A = record { "a`,
		"a comment without end":      "/* /* */",
		"a bad escape":               `type A = record { "\q" : nat }`,
		"a bracket without end":      "type A = record {",
		"depth":                      "type A = " + strings.Repeat("opt ", 600) + "nat",
		"garbage":                    "hello",
	} {
		if f, err := ParseFile(src); err == nil {
			t.Errorf("%s: accepted as %+v", name, f)
		}
	}
}

func FuzzText(f *testing.F) {
	f.Add(counter, "(1, opt record { value = 1; next = null })")
	f.Add("service : {}", `(vec { 1; -0x2; 3.5e-1 }, blob "\00", func "aaaaa-aa".x, variant { a = "\u{1F402}" })`)
	f.Fuzz(func(t *testing.T, file, values string) {
		var types []*candid.Type
		if d, err := ParseFile(file); err == nil {
			types = d.Init
		}
		vs, err := ParseValues(values, types)
		if err != nil {
			return
		}
		raw, err := candid.Encode(types, vs)
		if err != nil {
			t.Fatalf("%v does not encode: %v", vs, err)
		}
		back, err := candid.Decode(raw, types, candid.DefaultLimits(len(raw)))
		if err != nil {
			return // values without bytes may exceed the quota
		}
		for i := range vs {
			if !candid.Equal(vs[i], back[i]) {
				t.Fatalf("%v became %v", vs[i], back[i])
			}
		}
	})
}
