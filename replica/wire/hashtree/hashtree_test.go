package hashtree

import (
	"encoding/hex"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
)

// The example of the specification, section "Certification: example".
const (
	exampleCBOR   = "8301830183024161830183018302417882034568656c6c6f810083024179820345776f726c6483024162820344676f6f648301830241638100830241648203476d6f726e696e67"
	exampleRoot   = "eb5c5b2195e62d996b84c9bcc8259d19a83786a2f59e0878cec84c811f669aa0"
	examplePruned = "83018301830241618301820458201b4feff9bef8131788b0c9dc6dbad6e81e524249c879e9f10f71ce3749f5a63883024179820345776f726c6483024162820458207b32ac0c6ba8ce35ac82c255fc7906f7fc130dab2a090f80fe12f9c2cae83ba6830182045820ec8324b8a1f1ac16bd2e806edba78006479c9877fed4eb464a25485465af601d830241648203476d6f726e696e67"
)

func decodeHex(t *testing.T, s string) *Tree {
	t.Helper()
	raw, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	tree, err := Decode(raw)
	if err != nil {
		t.Fatal(err)
	}
	return tree
}

func TestSpecExample(t *testing.T) {
	tree := decodeHex(t, exampleCBOR)
	if got := fmt.Sprintf("%x", tree.Digest()); got != exampleRoot {
		t.Errorf("root is %s", got)
	}
	if got := fmt.Sprintf("%x", tree.Append(nil)); got != exampleCBOR {
		t.Errorf("encodes as %s", got)
	}
	pruned := tree.Witness([]Path{P("a", "y"), P("ax"), P("d")})
	if got := fmt.Sprintf("%x", pruned.Append(nil)); got != examplePruned {
		t.Errorf("prunes to\n%s, want\n%s", got, examplePruned)
	}
	for _, c := range []struct {
		path   string
		status Status
		value  string
	}{
		{"a/a", Unknown, ""}, {"a/y", Found, "world"}, {"aa", Absent, ""}, {"ax", Absent, ""},
		{"b", Unknown, ""}, {"bb", Unknown, ""}, {"d", Found, "morning"}, {"e", Absent, ""},
		{"a", Error, ""}, {"d/x", Absent, ""}, {"", Absent, ""},
	} {
		v, s := pruned.Lookup(P(strings.Split(c.path, "/")...))
		if s != c.status || string(v) != c.value {
			t.Errorf("%s: got %v %q, want %v %q", c.path, s, v, c.status, c.value)
		}
	}
	if _, s := tree.Lookup(P("c")); s != Absent {
		t.Errorf("c, whose tree is empty: %v", s)
	}
}

// find is the specification's find_label, word for word; the oracle for near.
func find(l string, forest []*Tree) Status {
	for i, t := range forest {
		if t.Kind() == Labeled && string(t.data) == l {
			return Found
		}
		if t.Kind() != Labeled {
			continue
		}
		here := string(t.data)
		if i == 0 && l < here || i == len(forest)-1 && here < l {
			return Absent
		}
		if i+1 < len(forest) && forest[i+1].Kind() == Labeled && here < l && l < string(forest[i+1].data) {
			return Absent
		}
	}
	if len(forest) == 0 || len(forest) == 1 && forest[0].Kind() == Leaf {
		return Absent
	}
	return Unknown
}

func flatten(t *Tree) []*Tree {
	switch t.Kind() {
	case Empty:
		return nil
	case Fork:
		return append(flatten(t.left), flatten(t.right)...)
	}
	return []*Tree{t}
}

func randomTree(r *rand.Rand, labels []string) *Tree {
	if len(labels) == 0 {
		if r.IntN(2) == 0 {
			return nil
		}
		return NewPruned([32]byte{1})
	}
	if len(labels) == 1 && r.IntN(2) == 0 {
		if r.IntN(4) == 0 {
			return NewPruned([32]byte{2})
		}
		return NewLabeled([]byte(labels[0]), NewLeaf([]byte(labels[0])))
	}
	cut := r.IntN(len(labels) + 1)
	if len(labels) > 1 && (cut == 0 || cut == len(labels)) {
		cut = 1
	}
	return NewFork(randomTree(r, labels[:cut]), randomTree(r, labels[cut:]))
}

func TestLookupAgreesWithTheSpecification(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	all := "bdfhjlnp"
	for range 5000 {
		var labels []string
		for _, c := range all {
			if r.IntN(2) == 0 {
				labels = append(labels, string(c))
			}
		}
		tree := randomTree(r, labels)
		for c := 'a'; c <= 'q'; c++ {
			want := find(string(c), flatten(tree))
			if _, got := tree.Subtree(P(string(c))); got != want {
				t.Fatalf("%q in %x: got %v, want %v", c, tree.Append(nil), got, want)
			}
		}
	}
}

// What a witness says of each path asked for is what the whole tree says.
func TestWitnessAnswersLikeTheTree(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	for range 2000 {
		var entries []Entry
		for c := 'b'; c <= 'p'; c += 2 {
			if r.IntN(2) == 0 {
				continue
			}
			sub := NewLeaf([]byte{byte(c)})
			if r.IntN(2) == 0 {
				sub = Dir([]Entry{{"x", NewLeaf([]byte("1"))}, {"z", nil}})
			}
			entries = append(entries, Entry{string(c), sub})
		}
		tree := Dir(entries)
		var paths []Path
		for range r.IntN(4) {
			p := P(string(rune('a' + r.IntN(17))))
			if r.IntN(2) == 0 {
				p = append(p, []byte{"wxyz"[r.IntN(4)]})
			}
			paths = append(paths, p)
		}
		w := tree.Witness(paths)
		if w.Digest() != tree.Digest() {
			t.Fatal("the digest changed")
		}
		if back, err := Decode(w.Append(nil)); err != nil || back.Digest() != tree.Digest() {
			t.Fatalf("round trip: %v", err)
		}
		for _, p := range paths {
			v, s := tree.Lookup(p)
			if gotV, got := w.Lookup(p); got != s || string(gotV) != string(v) {
				t.Fatalf("%q: witness says %v %q, tree says %v %q", p, got, gotV, s, v)
			}
		}
	}
}

func TestWitnessHidesTheRest(t *testing.T) {
	tree := Dir([]Entry{{"a", NewLeaf([]byte("one"))}, {"b", NewLeaf([]byte("secret"))}, {"c", NewLeaf([]byte("three"))}})
	for _, paths := range [][]Path{nil, {P("a")}, {P("aa")}, {P("d")}, {P("a"), P("c")}} {
		if raw := string(tree.Witness(paths).Append(nil)); strings.Contains(raw, "secret") {
			t.Errorf("a witness for %q shows what was not asked for", paths)
		}
	}
}

func TestDecodeRefuses(t *testing.T) {
	deep := strings.Repeat("8301", MaxDepth+2)
	for name, raw := range map[string]string{
		"nothing":               "",
		"cut short":             exampleCBOR[:len(exampleCBOR)-2],
		"bytes behind":          exampleCBOR + "00",
		"kind 5":                "820540",
		"a fork of two items":   "82018100",
		"a hash of 31 bytes":    "8204581f" + strings.Repeat("00", 31),
		"labels not in order":   "8301830241628100830241618100",
		"a label twice":         "8301830241618100830241618100",
		"a leaf beside a label": "8301820340830241618100",
		"indefinite length":     "9f00ff",
		"a length beyond it":    "82035affffffff",
		"too deep":              deep,
		"text as a label":       "830261618100",
	} {
		b, err := hex.DecodeString(raw)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := Decode(b); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

func FuzzDecode(f *testing.F) {
	for _, s := range []string{exampleCBOR, examplePruned} {
		b, _ := hex.DecodeString(s)
		f.Add(b, "a")
	}
	f.Fuzz(func(t *testing.T, raw []byte, label string) {
		tree, err := Decode(raw)
		if err != nil {
			return
		}
		if again, err := Decode(tree.Append(nil)); err != nil || again.Digest() != tree.Digest() {
			t.Fatalf("round trip: %v", err)
		}
		if _, got := tree.Subtree(P(label)); got != find(label, flatten(tree)) {
			t.Fatalf("lookup of %q gave %v", label, got)
		}
		if tree.Witness([]Path{P(label)}).Digest() != tree.Digest() {
			t.Fatal("the witness has another digest")
		}
	})
}
