package registry

import (
	"bytes"
	"crypto/ed25519"
	"errors"
	"strings"
	"testing"

	"ashlar/replica/crypto/bls"
	"ashlar/replica/crypto/dkg"
	"ashlar/replica/crypto/keystore"
	"ashlar/replica/ic"
	"ashlar/replica/wire/records"
)

// The life of a network: four nodes, a fifth is added, one leaves, a new version.
func TestLife(t *testing.T) {
	tr := found(t, 4)
	sub := Subnet{tr.store, tr.subnet}
	v, err := tr.store.View(1, ic.SubnetID{})
	if err != nil {
		t.Fatal(err)
	}
	if v.ID != tr.subnet || v.Root != tr.subnet || v.Subnet.Type.String() != "application" || len(v.Nodes) != 4 || v.Genesis != 77 || v.Index(tr.nodes[4].NodeID()) != -1 {
		t.Errorf("view %+v", v)
	}
	if i := v.Index(tr.nodes[2].NodeID()); i < 0 || !bytes.Equal(v.Nodes[i].PublicKey, tr.nodes[2].NodeKey()) || v.Nodes[i].P2P != "127.0.0.3:4100" || v.Nodes[i].HTTP != "127.0.0.3:4943" {
		t.Errorf("node 2 is %d of %+v", i, v.Nodes)
	}
	if v.ID.Principal != ic.SelfAuthenticating(v.Group.Key.DER()) {
		t.Error("the subnet's id is not that of its key")
	}
	first, _ := ic.ParsePrincipal("rwlgt-iiaaa-aaaaa-aaaaa-cai")
	begin, _ := ic.ParsePrincipal("bnz7o-iuaaa-aaaaa-qaaaa-cai")
	if len(v.Ranges) != 2 || v.Ranges[0].First.Principal != first || v.Ranges[1].First.Principal != begin || !v.Ranges[0].Contains(ic.CanisterIDFromUint64(0x2100001)) {
		t.Errorf("ranges %v", v.Ranges)
	}

	r := tr.record()
	r.Members = append(r.Members, tr.nodes[4].NodeID())
	tr.take(append(tr.handIn(4), upsert(records.KeySubnet(tr.subnet), r))...)
	r.Members, r.HaltAtCUP = r.Members[1:], true
	tr.take(upsert(records.KeySubnet(tr.subnet), r))
	r.Version, r.Interval, r.HaltAtCUP = "0.2", 60, false
	tr.take(upsert(records.KeyVersion("0.2"), &records.Version{}), upsert(records.KeySubnet(tr.subnet), r))

	for version, want := range []Record{1: {Interval: 50, Version: "0.1"}, 2: {Interval: 50, Version: "0.1"}, 3: {Interval: 50, Version: "0.1", Halt: true}, 4: {Interval: 60, Version: "0.2"}} {
		if version == 0 {
			continue
		}
		got, err := sub.At(uint64(version))
		if err != nil {
			t.Fatal(err)
		}
		members := []int{1: 4, 2: 5, 3: 4, 4: 4}[version]
		if got.Interval != want.Interval || got.Version != want.Version || got.Halt != want.Halt || len(got.Members) != members {
			t.Errorf("version %d: %+v", version, got)
		}
		for i, m := range got.Members {
			if i > 0 && got.Members[i-1].Node.Principal >= m.Node.Principal {
				t.Error("members are not in order")
			}
			if e, err := dkg.ParseEncryptionKey(m.Node, m.Encryption); err != nil || e.Generation != 1 || ic.SelfAuthenticating(append([]byte("\x30\x2a\x30\x05\x06\x03\x2b\x65\x70\x03\x21\x00"), m.Key...)) != m.Node.Principal {
				t.Errorf("member %s: %v", m.Node, err)
			}
		}
	}
	if sub.Latest() != 4 {
		t.Errorf("latest is %d", sub.Latest())
	}
	if _, err := sub.At(5); err == nil || errors.Is(err, ErrNone) {
		t.Errorf("a version to come: %v", err)
	}
}

func TestVersions(t *testing.T) {
	tr := found(t, 1)
	a, b := upsert("key-a", &records.Boundary{Version: "1"}), upsert("key-a", &records.Boundary{Version: "3"})
	tr.take(a)
	tr.take(upsert("key-b", &records.Boundary{}))
	tr.take(b)
	tr.take(remove("key-a"))
	tr.take(upsert("key-a", &records.Boundary{}))
	for version, want := range []string{1: "none", 2: "1", 3: "1", 4: "3", 5: "none", 6: ""} {
		var r records.Boundary
		if err := tr.store.Get("key-a", uint64(version), &r); errors.Is(err, ErrNone) != (want == "none" || version == 0) || want != "none" && r.Version != want {
			t.Errorf("version %d: %q, %v", version, r.Version, err)
		}
	}
	for version, want := range []int{2: 1, 3: 2, 4: 2, 5: 1, 6: 2} {
		if keys := tr.store.Keys("key-", uint64(version)); len(keys) != want {
			t.Errorf("version %d: keys %q", version, keys)
		}
	}
}

// Who may change the registry, and to what follows what.
func TestOnlyTheAuthoritySigns(t *testing.T) {
	tr := found(t, 1)
	stranger := ed25519.NewKeyFromSeed(bytes.Repeat([]byte{1}, 32))
	head, _ := tr.store.Head()
	m := &records.Mutations{Mutations: []records.Mutation{upsert("k", &records.Boundary{})}}
	good := tr.sign(m.Mutations...)
	var spoilt records.Signed
	if err := records.Decode(good, &spoilt); err != nil {
		t.Fatal(err)
	}
	spoilt.Mutations = records.Encode(&records.Mutations{Mutations: []records.Mutation{upsert("k", &records.Boundary{Version: "x"})}})
	twice, err := Cosign(good, tr.authority)
	if err != nil {
		t.Fatal(err)
	}
	for says, raw := range map[string][]byte{
		"may not change":           Sign(m, 2, head, stranger),
		"0 signatures":             Sign(m, 2, head),
		"is wrong":                 records.Encode(&spoilt),
		"or twice":                 twice,
		"does not follow version":  Sign(m, 3, head, tr.authority),
		"is of another network":    Sign(m, 2, [32]byte{1}, tr.authority),
		"another version 1":        Sign(m, 1, [32]byte{}, tr.authority),
		"cannot be read":           good[:len(good)-1],
		"names 0 bytes of what it": Sign(m, 0, [32]byte{}, tr.authority)[2:],
	} {
		if err := tr.store.Take(raw); err == nil || !strings.Contains(err.Error(), says) || tr.store.Latest() != 1 {
			t.Errorf("%s: %v, version %d", says, err, tr.store.Latest())
		}
	}
	for range 2 { // again does no harm
		if err := tr.store.Take(good); err != nil || tr.store.Latest() != 2 {
			t.Errorf("%v, version %d", err, tr.store.Latest())
		}
	}
	other := Sign(&records.Mutations{Mutations: []records.Mutation{upsert("k", &records.Boundary{Version: "other"})}}, 2, head, tr.authority)
	if err := tr.store.Take(other); err == nil || !strings.Contains(err.Error(), "another version 2") {
		t.Errorf("a second version 2: %v", err)
	}
}

// The authority passes on its right: two of three from now on.
func TestTheAuthorityChanges(t *testing.T) {
	tr := found(t, 1)
	var keys []ed25519.PrivateKey
	a := &records.Authority{Threshold: 2}
	for i := range 3 {
		keys = append(keys, ed25519.NewKeyFromSeed(bytes.Repeat([]byte{byte(i + 1)}, 32)))
		a.Keys = append(a.Keys, keys[i].Public().(ed25519.PublicKey))
	}
	tr.take(upsert(records.KeyAuthority, a))
	if err := tr.store.Take(tr.sign(upsert("k", a))); err == nil || !strings.Contains(err.Error(), "may not change") {
		t.Errorf("the old one still signs: %v", err)
	}
	head, _ := tr.store.Head()
	one := Sign(&records.Mutations{Mutations: []records.Mutation{upsert("k", a)}}, 3, head, keys[0])
	if err := tr.store.Take(one); err == nil || !strings.Contains(err.Error(), "1 signatures of the authority, 2 are needed") {
		t.Errorf("one of two is enough: %v", err)
	}
	two, err := Cosign(one, keys[2])
	if err != nil {
		t.Fatal(err)
	}
	if err := tr.store.Take(two); err != nil {
		t.Error(err)
	}
	for says, bad := range map[string]*records.Authority{
		"names 0 keys": {Threshold: 1}, "of which 4": {Threshold: 4, Keys: a.Keys}, "of which 0": {Keys: a.Keys},
		"twice": {Threshold: 1, Keys: [][]byte{a.Keys[0], a.Keys[0]}}, "of 3 bytes": {Threshold: 1, Keys: [][]byte{{1, 2, 3}}},
	} {
		head, version := tr.store.Head()
		raw := Sign(&records.Mutations{Mutations: []records.Mutation{upsert(records.KeyAuthority, bad)}}, version+1, head, keys[0], keys[1])
		if err := tr.store.Take(raw); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%s: %v", says, err)
		}
	}
}

// What contradicts itself is refused with a sentence, and changes nothing.
func TestContradictions(t *testing.T) {
	tr := found(t, 4)
	spare, last := tr.nodes[4], tr.nodes[5].NodeID()
	subnetKey, member := records.KeySubnet(tr.subnet), tr.record().Members[0]
	with := func(change func(r *records.Subnet)) records.Mutation {
		r := tr.record()
		change(r)
		return upsert(subnetKey, r)
	}
	node := func(change func(key string, m *records.Mutation) bool) (out []records.Mutation) {
		for _, m := range tr.handIn(4) {
			if change(strings.TrimPrefix(string(m.Key), records.PrefixCrypto+spare.NodeID().String()+"_"), &m) {
				out = append(out, m)
			}
		}
		return out
	}
	publicKey := func(m *records.Mutation, change func(k *records.PublicKey)) {
		var k records.PublicKey
		if err := records.Decode(m.Value, &k); err != nil {
			t.Fatal(err)
		}
		change(&k)
		m.Value = records.Encode(&k)
	}
	key := func(purpose string, change func(k *records.PublicKey)) []records.Mutation {
		return node(func(key string, m *records.Mutation) bool {
			if key == purpose {
				publicKey(m, change)
			}
			return true
		})
	}
	at := func(e *records.Endpoint) []records.Mutation {
		return node(func(key string, m *records.Mutation) bool {
			if strings.HasPrefix(key, records.PrefixNode) {
				m.Value = records.Encode(&records.Node{P2P: []records.Flow{{Endpoint: e}}})
			}
			return true
		})
	}
	rng := func(first, last uint64, s ic.SubnetID) records.Route {
		return records.Route{Subnet: s, Range: &records.Range{CanisterRange: ic.CanisterRange{First: ic.CanisterIDFromUint64(first), Last: ic.CanisterIDFromUint64(last)}}}
	}
	cup := func(change func(c *records.CUP)) records.Mutation {
		c := &records.CUP{}
		if err := tr.store.Get(records.KeyCUP(tr.subnet), 1, c); err != nil {
			t.Fatal(err)
		}
		change(c)
		return upsert(records.KeyCUP(tr.subnet), c)
	}
	recovery := func(height uint64) func(c *records.CUP) {
		return func(c *records.CUP) {
			hash := make([]byte, 32)
			c.Genesis, c.Height, c.StateHash, c.Recovery = nil, height, hash, &records.Recovery{Height: height, Time: c.Time, StateHash: hash}
		}
	}
	otherKey, err := bls.GenerateKey(stream("other"))
	if err != nil {
		t.Fatal(err)
	}
	for says, m := range map[string][]records.Mutation{
		"has no node record":                 {with(func(r *records.Subnet) { r.Members = append(r.Members, last) })},
		"there is no such node":              node(func(key string, _ *records.Mutation) bool { return !strings.HasPrefix(key, records.PrefixNode) }),
		"has no key for purpose 4":           node(func(key string, _ *records.Mutation) bool { return key != "4" }),
		"has no node record\x00":             {remove(records.KeyNode(member)), remove(records.KeyCrypto(member, 1)), remove(records.KeyCrypto(member, 3)), remove(records.KeyCrypto(member, 4))},
		"and again":                          {with(func(r *records.Subnet) { r.Members = append(r.Members, member) })},
		"must be 1 to":                       {with(func(r *records.Subnet) { r.Members = nil })},
		"not an Ed25519 key":                 key("1", func(k *records.PublicKey) { k.Algorithm = records.MultiBLS }),
		"not that of its key":                key("1", func(k *records.PublicKey) { k.Key[0] ^= 1 }),
		"proof of possession: ":              key("4", func(k *records.PublicKey) { k.Proof[5] ^= 1 }),
		"has no valid proof of possession":   key("3", func(k *records.PublicKey) { k.Proof[len(k.Proof)-1] ^= 1 }),
		"not a dealing key":                  key("3", func(k *records.PublicKey) { k.Version = 0 }),
		"the same key as":                    key("4", func(k *records.PublicKey) { k.Key = tr.nodes[0].Committee().Bytes() }),
		"where node":                         at(&records.Endpoint{IP: "127.0.0.1", Port: 4943}),
		"where node\x00":                     at(&records.Endpoint{IP: "::ffff:127.0.0.1", Port: 4943}), // the same in other words
		"is not an IP address":               at(&records.Endpoint{IP: "0.0.0.0", Port: 1}),
		"is not a port":                      at(&records.Endpoint{IP: "127.0.0.9", Port: 70000}),
		"is not an IP address\x00":           at(&records.Endpoint{IP: "localhost", Port: 1}),
		"where peers reach it":               append(at(nil)[:3], upsert(records.KeyNode(spare.NodeID()), &records.Node{}), with(func(r *records.Subnet) { r.Members = append(r.Members, spare.NodeID()) })),
		"which is not elected":               {with(func(r *records.Subnet) { r.Version = "0.9" })},
		"which is not elected\x00":           {remove(records.KeyVersion("0.1"))},
		"which is recalled":                  {with(func(r *records.Subnet) { r.Recalled = []string{"0.1"} })},
		"interval is 8 rounds":               {with(func(r *records.Subnet) { r.Interval = 8 })},
		"interval is 10001 rounds":           {with(func(r *records.Subnet) { r.Interval = MaxInterval + 1 })},
		"not a type of subnet":               {with(func(r *records.Subnet) { r.Type = 3 })},
		"not the name of a replica version":  {upsert(records.KeyVersion("-x"), &records.Version{})},
		"or neither":                         {upsert(records.KeyVersion("x"), &records.Version{URLs: []string{"https://x"}})},
		"that nodes can load from":           {upsert(records.KeyVersion("x"), &records.Version{SHA256Hex: strings.Repeat("0", 64), URLs: []string{"file:///x"}})},
		"which is not there":                 {upsert(records.KeyRanges(ic.CanisterIDFromUint64(1<<62)), &records.RoutingTable{Entries: []records.Route{rng(1, 2, ic.SubnetID{Principal: "x"})}})},
		"overlaps":                           {upsert(records.KeyRanges(ic.CanisterIDFromUint64(1<<62)), &records.RoutingTable{Entries: []records.Route{rng(LastNew, LastNew+1, tr.subnet)}})},
		"ends before it begins":              {upsert(records.KeyRanges(ic.CanisterIDFromUint64(1<<62)), &records.RoutingTable{Entries: []records.Route{rng(2, 1, tr.subnet)}})},
		"no readable record":                 {remove(subnetKey)},
		"has no readable record":             {upsert(records.KeySubnetList, &records.SubnetList{Subnets: []ic.SubnetID{{Principal: "x"}}})},
		"and is not in subnet_list":          {upsert(records.KeySubnetList, &records.SubnetList{})},
		"twice":                              {upsert(records.KeySubnetList, &records.SubnetList{Subnets: []ic.SubnetID{tr.subnet, tr.subnet}})},
		"does not name a subnet":             {upsert(records.KeyRootSubnet, &records.SubnetID{})},
		"no readable public key":             {remove(records.KeyThreshold(tr.subnet))},
		"it is not recovered":                {upsert(records.KeyThreshold(tr.subnet), &records.PublicKey{Algorithm: records.ThresholdBLS, Key: otherKey.PublicKey().Bytes()})},
		"a subnet begins once":               {cup(func(c *records.CUP) { c.Time++ })},
		"neither a beginning nor a recovery": {cup(func(c *records.CUP) { c.Genesis = nil })},
		"names the hash of the state":        {cup(func(c *records.CUP) { recovery(50)(c); c.StateHash = nil })},
		"the registry knows height":          {cup(recovery(0))},
		"has no low-threshold key":           {cup(func(c *records.CUP) { c.Low = nil })},
		"not the one that the record":        {cup(func(c *records.CUP) { c.Low, c.High = c.High, c.Low })},
		"high-threshold key: ":               {cup(func(c *records.CUP) { c.High.Internal[0] ^= 1 })},
		"there is no such subnet":            {upsert(records.KeyCUP(ic.SubnetID{Principal: "x"}), &records.CUP{})},
		"has no domain":                      append(tr.handIn(4), upsert(records.KeyBoundary(spare.NodeID()), &records.Boundary{Version: "0.1"})),
		"there is no such node\x00":          {upsert(records.KeyBoundary(last), &records.Boundary{})},
		"does not name a node and a purpose": {upsert(records.PrefixCrypto+"x", &records.PublicKey{})},
		"is not 1 to 256":                    {upsert("a key", &records.Boundary{})},
		"is not 1 to 256\x00":                {upsert(strings.Repeat("k", maxKeyBytes+1), &records.Boundary{})},
		"the limit is 2097152":               {{Type: records.Upsert, Key: []byte("k"), Value: make([]byte, maxRecordBytes+1)}},
		"it inserts":                         {{Key: []byte(subnetKey), Value: []byte{}}},
		"which is not there\x00":             {remove("k")},
		"something unknown (3)":              {{Type: 3, Key: []byte("k")}},
		"the limits are 1 and":               {},
		"it changes k twice":                 {upsert("k", &records.Boundary{}), upsert("k", &records.Boundary{})},
	} {
		says, _, _ = strings.Cut(says, "\x00")
		if err := tr.store.Take(tr.sign(m...)); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%s: %v", says, err)
		}
	}
	if tr.store.Latest() != 1 {
		t.Fatalf("version %d", tr.store.Latest())
	}
	r := tr.record()
	r.Members = r.Members[1:]
	if err := tr.store.Take(tr.sign(cup(recovery(50)), upsert(subnetKey, r))); err == nil || !strings.Contains(err.Error(), "its members as holders") {
		t.Errorf("recovered with other members: %v", err)
	}
	tr.take(cup(recovery(50)))
	tr.take(append(tr.handIn(4), with(func(r *records.Subnet) { r.Members = append(r.Members, spare.NodeID()) }))...)
}

// A genesis whose keys were not dealt as it says is no network.
func TestGenesisIsRechecked(t *testing.T) {
	tr := found(t, 4)
	c, _, err := decode(tr.genesis)
	if err != nil {
		t.Fatal(err)
	}
	for says, spoil := range map[string]func(c *records.CUP){
		"low-threshold key: dealing":  func(c *records.CUP) { c.Low.Internal[len(c.Low.Internal)-1] ^= 1 },
		"high-threshold key: dealing": func(c *records.CUP) { c.High.Internal[len(c.High.Internal)-1] ^= 1 },
	} {
		for i := range c.mutations.Mutations {
			m := c.mutations.Mutations[i]
			if string(m.Key) != records.KeyCUP(tr.subnet) {
				continue
			}
			var cup records.CUP
			if err := records.Decode(m.Value, &cup); err != nil {
				t.Fatal(err)
			}
			spoil(&cup)
			c.mutations.Mutations[i].Value = records.Encode(&cup)
			if err := New().Take(Sign(c.mutations, 1, [32]byte{}, tr.authority)); err == nil || !strings.Contains(err.Error(), says) {
				t.Errorf("%s: %v", says, err)
			}
			c.mutations.Mutations[i] = m
		}
	}
}

// A dealing key is replaced by a newer one, never by an older.
func TestRotation(t *testing.T) {
	tr := found(t, 1)
	k := tr.nodes[0]
	dealing := func() records.Mutation {
		keys, err := NodeKeys(stream("again"), k)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range keys {
			if string(m.Key) == records.KeyCrypto(k.NodeID(), records.DealingEncryption) {
				m.Type = records.Update
				return m
			}
		}
		panic("no dealing key")
	}
	old := dealing()
	if err := k.Rotate(stream("rotate")); err != nil {
		t.Fatal(err)
	}
	tr.take(dealing())
	if err := tr.store.Take(tr.sign(old)); err == nil || !strings.Contains(err.Error(), "does not follow generation 2") {
		t.Error(err)
	}
}

// A node's offer of another dealing key is taken once, and only from the node itself.
func TestOffers(t *testing.T) {
	tr := found(t, 4)
	k := tr.nodes[0]
	offer := func(k *keystore.Keys) *Offer {
		o, err := MakeOffer(stream("offer"), k)
		if err != nil {
			t.Fatal(err)
		}
		return o
	}
	if _, _, err := tr.store.TakeOffer(offer(k)); !errors.Is(err, ErrOffered) {
		t.Errorf("the key that the registry has: %v", err)
	}
	for _, n := range tr.nodes[:2] {
		if err := n.Rotate(stream("rotate")); err != nil {
			t.Fatal(err)
		}
	}
	good := offer(k)
	for says, spoil := range map[string]func(o *Offer){
		"is not signed by it":         func(o *Offer) { o.Signature[0] ^= 1 },
		"is not signed by it\x00key":  func(o *Offer) { o.Key = offer(tr.nodes[1]).Key },
		"is not signed by it\x00node": func(o *Offer) { o.Node = tr.nodes[1].NodeID().String() },
		"an offer of a dealing key":   func(o *Offer) { o.Node = "nobody" },
		"\x00stranger":                func(o *Offer) { *o = *offer(tr.nodes[4]) },
		"node \x00garbage": func(o *Offer) {
			o.Key = []byte("garbage")
			o.Signature = k.Vote(offerMessage(k.NodeID(), o.Key))
		},
	} {
		o := *good
		o.Signature = bytes.Clone(o.Signature)
		spoil(&o)
		says, _, _ = strings.Cut(says, "\x00")
		if _, _, err := tr.store.TakeOffer(&o); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%s: %v", says, err)
		}
	}
	id, m, err := tr.store.TakeOffer(good)
	if err != nil || id != k.NodeID() {
		t.Fatal(id, err)
	}
	tr.take(m)
	if g, err := tr.store.Generation(id, 2); g != 2 || err != nil {
		t.Errorf("generation %d, %v", g, err)
	}
	if _, _, err := tr.store.TakeOffer(good); !errors.Is(err, ErrOffered) {
		t.Errorf("taken twice: %v", err)
	}
}

func TestPreconditions(t *testing.T) {
	tr := found(t, 1)
	tr.take(upsert("k", &records.Boundary{Version: "1"}))
	head, _ := tr.store.Head()
	change := func(expects uint64) []byte {
		return Sign(&records.Mutations{Mutations: []records.Mutation{upsert("k", &records.Boundary{})}, Preconditions: []records.Precondition{{Key: []byte("k"), Version: expects}}}, 3, head, tr.authority)
	}
	if err := tr.store.Take(change(1)); err == nil || !strings.Contains(err.Error(), "was changed in version 2") {
		t.Error(err)
	}
	if err := tr.store.Take(change(2)); err != nil {
		t.Error(err)
	}
}
