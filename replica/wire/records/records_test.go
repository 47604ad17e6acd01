package records

import (
	"bytes"
	"encoding/hex"
	"errors"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"ashlar/replica/ic"
)

// fill sets fields of m as chance has it.
func fill(random *rand.Rand, m protoreflect.Message) {
	fields := m.Descriptor().Fields()
	for i := range fields.Len() {
		f := fields.Get(i)
		switch {
		case random.IntN(4) == 0:
		case f.IsList():
			list := m.Mutable(f).List()
			for range random.IntN(3) {
				if f.Kind() == protoreflect.MessageKind {
					fill(random, list.AppendMutable().Message())
				} else {
					list.Append(scalar(random, f))
				}
			}
		case f.Kind() == protoreflect.MessageKind:
			fill(random, m.Mutable(f).Message())
		default:
			m.Set(f, scalar(random, f))
		}
	}
}

func scalar(random *rand.Rand, f protoreflect.FieldDescriptor) protoreflect.Value {
	n := random.Uint64() >> random.IntN(64)
	switch f.Kind() {
	case protoreflect.BytesKind:
		return protoreflect.ValueOfBytes(bytes.Repeat([]byte{byte(n)}, random.IntN(ic.MaxPrincipalBytes+1)))
	case protoreflect.StringKind:
		return protoreflect.ValueOfString(strings.Repeat("é", random.IntN(5)))
	case protoreflect.BoolKind:
		return protoreflect.ValueOfBool(n%2 == 1)
	case protoreflect.Int32Kind:
		return protoreflect.ValueOfInt32(int32(n))
	case protoreflect.Uint32Kind:
		return protoreflect.ValueOfUint32(uint32(n))
	}
	return protoreflect.ValueOfUint64(n)
}

// What Google's implementation writes from the IC's definitions, we read, and write
// the same bytes.
func TestAgainstGoogle(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for name, make := range kinds {
		full := 0
		for range 200 {
			theirs := dynamic(t, name)
			if fill(random, theirs); wrapped(theirs) {
				continue
			}
			raw, err := proto.MarshalOptions{Deterministic: true}.Marshal(theirs)
			if err != nil {
				t.Fatal(err)
			}
			ours := make()
			if err := Decode(raw, ours); err != nil {
				t.Fatalf("%s %x: %v", name, raw, err)
			}
			if len(*ours.unknown()) > 0 {
				t.Fatalf("%s: does not know %x", name, *ours.unknown())
			}
			if again := Encode(ours); !bytes.Equal(again, raw) {
				t.Fatalf("%s: Google writes\n%x, we\n%x", name, raw, again)
			}
			full = max(full, len(raw))
		}
		if full < 4 { // two numbers
			t.Errorf("%s: the messages were all empty", name)
		}
	}
}

// A record of one node, byte by byte.
func TestByHand(t *testing.T) {
	domain := ""
	n := &Node{HTTP: &Endpoint{IP: "::1", Port: 8080}, P2P: []Flow{{Endpoint: &Endpoint{Port: 300, Protocol: P2P}}}, Operator: "\x04", Domain: &domain}
	want := "3208" + "0a033a3a31" + "10903f" + "4207" + "1205" + "10ac02" + "2003" + "7a0104" + "9a0100"
	if got := hex.EncodeToString(Encode(n)); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	var back Node
	raw, _ := hex.DecodeString(want)
	if err := Decode(raw, &back); err != nil || back.HTTP.Port != 8080 || back.P2P[0].Endpoint.Protocol != P2P || back.Domain == nil || back.ChipID != nil || back.XNet != nil {
		t.Errorf("%+v, %v", back, err)
	}
}

// A newer network's record keeps what we do not know when we change what we do.
func TestUnknownFieldsStay(t *testing.T) {
	raw := Encode(&Subnet{Version: "old", Features: &Features{HTTPRequests: true}})
	raw = protowire.AppendBytes(protowire.AppendTag(raw, 29, protowire.BytesType), []byte("chain keys"))
	raw = protowire.AppendFixed32(protowire.AppendTag(raw, 1000, protowire.Fixed32Type), 7)
	raw = protowire.AppendVarint(protowire.AppendTag(raw, 9, protowire.VarintType), 3) // a version that is a number is none that we know
	var s Subnet
	if err := Decode(raw, &s); err != nil {
		t.Fatal(err)
	}
	s.Version = "new"
	want := append(Encode(&Subnet{Version: "new", Features: s.Features}), raw[len(raw)-len(s.Unknown):]...)
	if again := Encode(&s); !bytes.Equal(again, want) || !bytes.Contains(again, []byte("chain keys")) {
		t.Errorf("%x\nwant %x", again, want)
	}
}

func TestMerged(t *testing.T) {
	two := append(Encode(&Subnet{Interval: 1, Features: &Features{Sandboxing: true}}), Encode(&Subnet{Interval: 2, Features: &Features{HTTPRequests: true}})...)
	var s Subnet
	if err := Decode(two, &s); err != nil || s.Interval != 2 || !s.Features.Sandboxing || !s.Features.HTTPRequests {
		t.Errorf("%+v %+v, %v", s, s.Features, err)
	}
}

func TestRefused(t *testing.T) {
	long := bytes.Repeat([]byte{1}, ic.MaxPrincipalBytes+1)
	for name, raw := range map[string][]byte{
		"cut":          Encode(&Subnet{Version: "version"})[:4],
		"no text":      protowire.AppendBytes(protowire.AppendTag(nil, 9, protowire.BytesType), []byte{0xff}),
		"a long id":    protowire.AppendBytes(protowire.AppendTag(nil, 3, protowire.BytesType), long),
		"field zero":   {0, 0},
		"inside":       protowire.AppendBytes(protowire.AppendTag(nil, 23, protowire.BytesType), []byte{0x12}),
		"many fields":  bytes.Repeat([]byte{0x28, 1}, maxFields+1),
		"a large one":  make([]byte, MaxBytes+1),
		"end of group": {0x0c},
	} {
		if err := Decode(raw, new(Subnet)); err == nil {
			t.Errorf("%s: taken", name)
		}
	}
	// The limit on fields is for all messages together.
	m := &Mutations{Mutations: make([]Mutation, maxFields/2+1)}
	for i := range m.Mutations {
		m.Mutations[i].Type = Delete
	}
	if err := Decode(Encode(m), new(Mutations)); !errors.Is(err, errMany) {
		t.Errorf("many fields inside: %v", err)
	}
}

func TestNames(t *testing.T) {
	n := ic.NodeID{Principal: ic.SelfAuthenticating([]byte("node"))}
	if got, p, ok := ParseCrypto(KeyCrypto(n, CommitteeSigning)); !ok || got != n || p != CommitteeSigning {
		t.Errorf("%v %v %v", got, p, ok)
	}
	for _, s := range []string{"", PrefixCrypto, PrefixCrypto + n.String(), PrefixCrypto + n.String() + "_01", PrefixCrypto + n.String() + "_1_", KeyCrypto(n, 1) + " "} {
		if _, _, ok := ParseCrypto(s); ok {
			t.Errorf("%q is taken for a key's", s)
		}
	}
	if k := KeyRanges(ic.CanisterIDFromUint64(0)); k != "canister_ranges_00000000000000000101" {
		t.Error(k)
	}
}

// Whatever Google's implementation reads, we read alike, and what it refuses, we do.
func FuzzDecode(f *testing.F) {
	var names []string
	for name := range kinds {
		names = append(names, name)
	}
	slices.Sort(names)
	random := rand.New(rand.NewPCG(3, 4))
	for i, name := range names {
		m := dynamic(f, name)
		fill(random, m)
		raw, _ := proto.Marshal(m)
		f.Add(uint8(i), raw)
	}
	f.Fuzz(func(t *testing.T, kind uint8, raw []byte) {
		name := names[int(kind)%len(names)]
		ours, theirs := kinds[name](), dynamic(t, name)
		err, bad := Decode(raw, ours), proto.Unmarshal(raw, theirs)
		if bad != nil && err == nil {
			t.Fatalf("%s %x: we read what Google refuses: %v", name, raw, bad)
		}
		if err != nil {
			return // an id too long, too many fields
		}
		again := Encode(ours)
		twice := kinds[name]()
		if err := Decode(again, twice); err != nil || !bytes.Equal(Encode(twice), again) {
			t.Fatalf("%s %x: %x is not stable: %v", name, raw, again, err)
		}
		same := dynamic(t, name)
		if err := proto.Unmarshal(again, same); err != nil {
			t.Fatal(err)
		}
		if !proto.Equal(same, theirs) && !wrapped(theirs) {
			t.Fatalf("%s: read from\n%x is\n%v, from ours\n%x\n%v", name, raw, theirs, again, same)
		}
	})
}

// wrapped tells of an unknown field inside one of the small messages around ids,
// which are dropped.
func wrapped(m proto.Message) bool {
	found := false
	var walk func(m protoreflect.Message, inside bool)
	walk = func(m protoreflect.Message, inside bool) {
		switch m.Descriptor().Name() {
		case "PrincipalId", "CanisterId", "SubnetId", "BytesValue", "UInt64Value":
			found = found || len(m.GetUnknown()) > 0
			inside = true
		}
		m.Range(func(f protoreflect.FieldDescriptor, v protoreflect.Value) bool {
			switch {
			case f.IsList() && f.Kind() == protoreflect.MessageKind:
				for i := range v.List().Len() {
					walk(v.List().Get(i).Message(), inside)
				}
			case f.Kind() == protoreflect.MessageKind:
				walk(v.Message(), inside)
			}
			return true
		})
		// An id that is there and empty is the same to us as one that is not.
		if inside && len(m.GetUnknown()) == 0 && proto.Size(m.Interface()) == 0 {
			found = true
		}
	}
	walk(m.ProtoReflect(), false)
	return found
}
