package block

import (
	"bytes"
	"reflect"
	"testing"

	"ashlar/replica/ic"
)

func examples() []*Artifact {
	summary := &Block{Height: 500, Maker: ic.NodeID{Principal: "node"}, Time: 7, Sections: []Section{{SummarySection, exampleSummary().Encode()}}}
	b := &Block{Height: 300, Parent: Hash{1, 2}, Maker: ic.NodeID{Principal: "node"}, Rank: 1, Time: 1_700_000_000_000_000_000,
		Registry: 1, Certified: 298, Ingress: [][]byte{[]byte("call"), {}, []byte("another call")},
		Sections: []Section{{DealingsSection, EncodeDealings([]Dealt{{0, 3, []byte("dealing")}})}}}
	out := []*Artifact{
		{Kind: Proposal, Height: 300, Hash: b.Hash(), Signer: 2, Signature: []byte("sig"), Block: b},
		{Kind: Notarization, Height: 300, Hash: b.Hash(), Votes: []Vote{{0, []byte("a")}, {3, []byte("b")}}},
		{Kind: Finalization, Height: 300, Hash: b.Hash(), Votes: []Vote{{130, []byte("a")}}},
		{Kind: CUP, Height: 500, Hash: CUPHash(summary.Hash(), []byte("beacon"), Hash{5}), Block: summary, Data: []byte("beacon"), Other: Hash{5}, Signature: []byte("sig")},
		{Kind: Dealing, Height: 300, Hash: Hash{3}, Signer: 3, Signature: []byte("sig"), Data: []byte("dealing")},
		{Kind: Equivocation, Height: 300, Hash: Hash{3}, Signer: 3, Signature: []byte("sig"), Other: Hash{4}, OtherSignature: []byte("other")},
	}
	for k := BeaconShare; k < kinds; k++ {
		if k.IsShare() {
			out = append(out, &Artifact{Kind: k, Height: 7, Hash: Hash{9}, Signer: 200, Signature: []byte("share")})
		} else if k == Beacon || k == Tape || k == Certification {
			out = append(out, &Artifact{Kind: k, Height: 7, Hash: Hash{9}, Signature: []byte("whole")})
		}
	}
	return out
}

func TestRoundTrip(t *testing.T) {
	seen := map[Kind]bool{}
	for _, a := range examples() {
		seen[a.Kind] = true
		data := a.Encode()
		back, err := Decode(data)
		if err != nil {
			t.Errorf("%s: %v", a.Kind, err)
			continue
		}
		if !reflect.DeepEqual(back, a) {
			t.Errorf("%s: got %+v, want %+v", a.Kind, back, a)
		}
		for n := range data {
			if _, err := Decode(data[:n]); err == nil {
				t.Errorf("%s: the first %d of %d bytes were accepted", a.Kind, n, len(data))
			}
		}
		if _, err := Decode(append(data, 0)); err == nil {
			t.Errorf("%s: a trailing byte was accepted", a.Kind)
		}
	}
	if len(seen) != int(kinds)-1 {
		t.Errorf("only %d kinds have an example", len(seen))
	}
}

func TestHashCoversEverything(t *testing.T) {
	base := examples()[0].Block
	changes := map[string]func(b *Block){
		"height": func(b *Block) { b.Height++ }, "parent": func(b *Block) { b.Parent[31]++ },
		"maker": func(b *Block) { b.Maker.Principal += "x" }, "rank": func(b *Block) { b.Rank++ },
		"time": func(b *Block) { b.Time++ }, "registry": func(b *Block) { b.Registry++ }, "certified": func(b *Block) { b.Certified++ },
		"a message":  func(b *Block) { b.Ingress = [][]byte{[]byte("cal"), {}, []byte("another call")} },
		"boundaries": func(b *Block) { b.Ingress = [][]byte{[]byte("calla"), {}, []byte("nother call")} },
		"order":      func(b *Block) { b.Ingress = [][]byte{{}, []byte("call"), []byte("another call")} },
		"one less":   func(b *Block) { b.Ingress = b.Ingress[:2] },
		"no section": func(b *Block) { b.Sections = nil },
		"a section":  func(b *Block) { b.Sections = []Section{{DealingsSection, []byte{1}}} },
		"its kind":   func(b *Block) { b.Sections = []Section{{SummarySection, b.Sections[0].Data}} },
	}
	for name, change := range changes {
		b := *base
		change(&b)
		if b.Hash() == base.Hash() {
			t.Errorf("another %s has the same hash", name)
		}
	}
}

func TestRefused(t *testing.T) {
	many := &Artifact{Kind: Proposal, Block: &Block{Ingress: make([][]byte, MaxIngressMessages+1)}}
	large := &Artifact{Kind: Proposal, Block: &Block{Ingress: [][]byte{make([]byte, MaxIngressBytes), {1}}}}
	unordered := &Artifact{Kind: Notarization, Votes: []Vote{{3, nil}, {3, nil}}}
	crowd := &Artifact{Kind: Finalization}
	for i := range uint64(MaxSignatures + 1) {
		crowd.Votes = append(crowd.Votes, Vote{i, []byte{1}})
	}
	long := &Artifact{Kind: Tape, Signature: make([]byte, maxSignatureBytes+1)}
	for name, data := range map[string][]byte{
		"too many messages": many.Encode(), "too large": large.Encode(), "a signer twice": unordered.Encode(),
		"too many signers": crowd.Encode(), "a long signature": long.Encode(), "empty": nil,
		"another version": {1, byte(Tape)}, "kind 0": {version, 0}, "unknown kind": {version, byte(kinds)},
		"a number in a longer form": append([]byte{version, byte(Tape), 0x87, 0x00}, make([]byte, 33)...),
		"beyond every limit":        make([]byte, MaxBytes+1),
	} {
		if _, err := Decode(data); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	full := &Artifact{Kind: Proposal, Block: &Block{Ingress: [][]byte{make([]byte, MaxIngressBytes)}}}
	if _, err := Decode(full.Encode()); err != nil {
		t.Errorf("a full block: %v", err)
	}
}

func TestMessagesDiffer(t *testing.T) {
	seen := map[string]Kind{}
	for k := Beacon; k < kinds; k++ {
		if k.IsShare() || k == Equivocation { // two proposals
			continue
		}
		m := string((&Artifact{Kind: k, Height: 1}).Message(ic.SubnetID{Principal: "s"}, Hash{}))
		if other, ok := seen[m]; ok {
			t.Errorf("%s and %s sign the same", k, other)
		}
		seen[m] = k
		if k != Certification && m == string((&Artifact{Kind: k, Height: 1}).Message(ic.SubnetID{Principal: "t"}, Hash{})) {
			t.Errorf("%s can be replayed in another subnet", k)
		}
		if k != Certification && k != CUP && m == string((&Artifact{Kind: k, Height: 1}).Message(ic.SubnetID{Principal: "s"}, Hash{1})) {
			t.Errorf("%s can be replayed in another era", k)
		}
	}
}

func exampleSummary() *Summary {
	members := []Member{{ic.NodeID{Principal: "a"}, []byte("key a")}, {ic.NodeID{Principal: "b"}, []byte("key b")}}
	return &Summary{Length: 500, NextLength: 300, Era: Hash{7}, Version: "v1",
		Current: &Committee{Registry: 3, Members: members[:1], Low: []byte("low"), High: []byte("high")},
		Next:    &Committee{Registry: 4, Members: members, Low: []byte("low2"), High: []byte("high2")},
		Configs: []Config{{Registry: 5, Receivers: []Receiver{{members[0], []byte("enc")}}}, {Target: Hash{1}, High: true, Registry: 5}}}
}

func TestSummary(t *testing.T) {
	alone := exampleSummary()
	alone.Next, alone.Configs = nil, nil
	for _, s := range []*Summary{exampleSummary(), alone} {
		data := s.Encode()
		back, err := DecodeSummary(data)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(back.Encode(), data) || back.Version != s.Version || (back.Next == nil) != (s.Next == nil) || len(back.Configs) != len(s.Configs) {
			t.Errorf("got %+v", back)
		}
		for n := range data {
			if _, err := DecodeSummary(data[:n]); err == nil {
				t.Errorf("the first %d bytes were accepted", n)
			}
		}
		if _, err := DecodeSummary(append(data, 0)); err == nil {
			t.Error("a trailing byte was accepted")
		}
	}
	twice := exampleSummary()
	twice.Next.Members = []Member{twice.Next.Members[1], twice.Next.Members[0]}
	crowd := exampleSummary()
	crowd.Configs = make([]Config, maxConfigs+1)
	for name, s := range map[string]*Summary{"members out of order": twice, "too many configs": crowd} {
		if _, err := DecodeSummary(s.Encode()); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

func TestDealings(t *testing.T) {
	good := []Dealt{{0, 1, []byte("x")}, {0, 2, []byte("y")}, {1, 0, []byte("z")}}
	if back, err := DecodeDealings(EncodeDealings(good)); err != nil || !reflect.DeepEqual(back, good) {
		t.Errorf("%v, %v", back, err)
	}
	for name, bad := range map[string][]Dealt{"none": nil, "out of order": {good[1], good[0]}, "one twice": {good[0], good[0]}, "too many": make([]Dealt, maxDealings+1)} {
		if _, err := DecodeDealings(EncodeDealings(bad)); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

func TestQueries(t *testing.T) {
	id := ic.CanisterIDFromUint64
	good := []Queried{{id(1), 1, 2, 3, 4}, {id(2), 1 << 63, 1<<64 - 1, 0, 0}}
	if back, err := DecodeQueries(EncodeQueries(good)); err != nil || !reflect.DeepEqual(back, good) {
		t.Errorf("%v, %v", back, err)
	}
	full := make([]Queried, MaxQueried)
	for i := range full {
		full[i] = Queried{id(uint64(i)), 1<<64 - 1, 1<<64 - 1, 1<<64 - 1, 1<<64 - 1}
	}
	if n := len(EncodeQueries(full)); n > MaxQueriesBytes {
		t.Errorf("a full section has %d bytes", n)
	}
	for name, bad := range map[string][]Queried{"none": nil, "out of order": {good[1], good[0]}, "one twice": {good[0], good[0]}, "too many": append(full, Queried{Canister: id(1000)})} {
		if _, err := DecodeQueries(EncodeQueries(bad)); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

func FuzzSummary(f *testing.F) {
	f.Add(exampleSummary().Encode())
	f.Add(EncodeDealings([]Dealt{{0, 1, []byte("x")}}))
	f.Add(EncodeQueries([]Queried{{ic.CanisterIDFromUint64(1), 1, 2, 3, 4}}))
	f.Fuzz(func(t *testing.T, data []byte) {
		if s, err := DecodeSummary(data); err == nil && !bytes.Equal(s.Encode(), data) {
			t.Errorf("two encodings of %+v", s)
		}
		if d, err := DecodeDealings(data); err == nil && !bytes.Equal(EncodeDealings(d), data) {
			t.Errorf("two encodings of %+v", d)
		}
		if q, err := DecodeQueries(data); err == nil && !bytes.Equal(EncodeQueries(q), data) {
			t.Errorf("two encodings of %+v", q)
		}
	})
}

func FuzzDecode(f *testing.F) {
	for _, a := range examples() {
		f.Add(a.Encode())
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		if a, err := Decode(data); err == nil && !bytes.Equal(a.Encode(), data) {
			t.Errorf("two encodings of %+v", a)
		}
	})
}
