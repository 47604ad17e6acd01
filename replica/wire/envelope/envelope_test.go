package envelope

import (
	"bytes"
	"strings"
	"testing"

	"ashlar/replica/crypto/usersig"
	"ashlar/replica/ic"
	"ashlar/replica/wire/cbor"
)

const now = ic.Time(1_700_000_000_000_000_000)

// user is a key, perhaps reached by a chain of delegations.
type user struct {
	*usersig.Identity
	root  []byte
	chain []SignedDelegation
}

func (u user) Delegations() ([]byte, []SignedDelegation) { return u.root, u.chain }

type anonymous struct{}

func (anonymous) PublicKey() []byte                         { return nil }
func (anonymous) Sign([]byte) ([]byte, error)               { return nil, nil }
func (anonymous) Delegations() ([]byte, []SignedDelegation) { return nil, nil }

func key(t testing.TB, n byte) *usersig.Identity {
	t.Helper()
	i, err := usersig.Ed25519(bytes.Repeat([]byte{n}, 32))
	if err != nil {
		t.Fatal(err)
	}
	return i
}

// to delegates from u to another key.
func (u user) to(t testing.TB, next *usersig.Identity, change func(*Delegation)) user {
	t.Helper()
	d := Delegation{PubKey: next.PublicKey(), Expiration: uint64(now) + 1}
	if change != nil {
		change(&d)
	}
	sig, err := u.Sign(d.SignedBytes())
	if err != nil {
		t.Fatal(err)
	}
	root := u.root
	if root == nil {
		root = u.PublicKey()
	}
	return user{next, root, append(bytes2(u.chain), SignedDelegation{d, sig})}
}

func bytes2(c []SignedDelegation) []SignedDelegation { return append([]SignedDelegation{}, c...) }

func content(kind string) Content {
	c := Content{Type: kind, Expiry: uint64(now) + 60e9}
	if kind == ReadState {
		c.Paths = [][][]byte{{[]byte("time")}}
	} else {
		c.Canister, c.Method, c.Arg = ic.CanisterIDFromUint64(1).Bytes(), "hello", []byte("DIDL\x00\x00")
	}
	return c
}

func check(t testing.TB, raw []byte, kind string) (*Envelope, Targets, error) {
	t.Helper()
	e, err := Parse(raw, kind)
	if err != nil {
		return nil, nil, err
	}
	targets, err := e.Authenticate(now, &usersig.Verifier{})
	return e, targets, err
}

func seal(t testing.TB, c Content, by Signer) []byte {
	t.Helper()
	raw, _, err := Seal(c, by)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

func TestRoundTrip(t *testing.T) {
	for _, kind := range []string{Call, Query, ReadState} {
		for name, by := range map[string]Signer{"a key": user{Identity: key(t, 1)}, "nobody": anonymous{},
			"a chain": user{Identity: key(t, 1)}.to(t, key(t, 2), nil).to(t, key(t, 3), nil)} {
			c := content(kind)
			c.Nonce = []byte{}
			raw, id, err := Seal(c, by)
			if err != nil {
				t.Fatal(err)
			}
			e, targets, err := check(t, raw, kind)
			if err != nil {
				t.Errorf("%s by %s: %v", kind, name, err)
				continue
			}
			if e.ID != id || targets != nil || len(e.Raw) != len(raw) {
				t.Errorf("%s by %s: got %+v", kind, name, e)
			}
			if name != "nobody" && e.Sender() != ic.SelfAuthenticating(key(t, 1).PublicKey()) {
				t.Errorf("%s by %s: sender is %s", kind, name, e.Sender())
			}
			if kind == Call {
				if in := e.Ingress(); in.Method != "hello" || in.ID != id || uint64(in.Expiry) != c.Expiry {
					t.Errorf("ingress is %+v", in)
				}
			}
		}
	}
}

// What a delegation limits.
func TestDelegationLimits(t *testing.T) {
	root := user{Identity: key(t, 1)}
	queries, all, other := "queries", "all", "calls"
	target := func(ids ...uint64) func(*Delegation) {
		return func(d *Delegation) {
			d.Targets = [][]byte{}
			for _, n := range ids {
				d.Targets = append(d.Targets, ic.CanisterIDFromUint64(n).Bytes())
			}
		}
	}
	many := func(n int) func(*Delegation) {
		return func(d *Delegation) {
			for i := range n {
				d.Targets = append(d.Targets, ic.CanisterIDFromUint64(uint64(i)).Bytes())
			}
		}
	}
	chain := func(n int) user {
		u := root
		for i := range n {
			u = u.to(t, key(t, byte(10+i)), nil)
		}
		return u
	}
	for _, c := range []struct {
		name string
		by   user
		kind string
		want string // of the error; empty for none
	}{
		{"20 delegations", chain(20), Call, ""},
		{"21 delegations", chain(21), Call, "the limit is 20"},
		{"the target", root.to(t, key(t, 2), target(1)), Call, ""},
		{"the target, a query", root.to(t, key(t, 2), target(1, 2)), Query, ""},
		{"another target", root.to(t, key(t, 2), target(2)), Call, "delegation targets"},
		{"targets that exclude each other", root.to(t, key(t, 2), target(1, 2)).to(t, key(t, 3), target(2, 3)), Call, "delegation targets"},
		{"targets that share one", root.to(t, key(t, 2), target(1, 2)).to(t, key(t, 3), target(1, 3)), Call, ""},
		{"another target, read_state", root.to(t, key(t, 2), target(2)), ReadState, ""},
		{"1000 targets", root.to(t, key(t, 2), many(1000)), Call, ""},
		{"1001 targets", root.to(t, key(t, 2), many(1001)), Call, "the limit is 1000"},
		{"queries only, a call", root.to(t, key(t, 2), func(d *Delegation) { d.Permissions = &queries }), Call, "queries only"},
		{"queries only, a query", root.to(t, key(t, 2), func(d *Delegation) { d.Permissions = &queries }), Query, ""},
		{"queries only, read_state", root.to(t, key(t, 2), func(d *Delegation) { d.Permissions = &queries }), ReadState, ""},
		{"queries, then all", root.to(t, key(t, 2), func(d *Delegation) { d.Permissions = &queries }).to(t, key(t, 3), func(d *Delegation) { d.Permissions = &all }), Call, "queries only"},
		{"all", root.to(t, key(t, 2), func(d *Delegation) { d.Permissions = &all }), Call, ""},
		{"unknown permissions", root.to(t, key(t, 2), func(d *Delegation) { d.Permissions = &other }), Query, "permissions"},
		{"expired", root.to(t, key(t, 2), func(d *Delegation) { d.Expiration = uint64(now) - 1 }), Call, "expired"},
		{"expires now", root.to(t, key(t, 2), func(d *Delegation) { d.Expiration = uint64(now) }), Call, ""},
		{"to oneself", root.to(t, key(t, 1), nil), Call, "occurs twice"},
		{"in a circle", root.to(t, key(t, 2), nil).to(t, key(t, 3), nil).to(t, key(t, 2), nil), Call, "occurs twice"},
		{"by another key", user{key(t, 9), root.PublicKey(), []SignedDelegation{{Delegation{PubKey: key(t, 9).PublicKey(), Expiration: uint64(now)}, make([]byte, 64)}}}, Call, "Invalid delegation"},
	} {
		_, _, err := check(t, seal(t, content(c.kind), c.by), c.kind)
		if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%s: got %v, want %q", c.name, err, c.want)
		}
	}
	_, targets, err := check(t, seal(t, content(ReadState), root.to(t, key(t, 2), target(2))), ReadState)
	if err != nil || targets.Allow(ic.CanisterIDFromUint64(1).Principal) || !targets.Allow(ic.CanisterIDFromUint64(2).Principal) {
		t.Errorf("targets of a read_state: %v, %v", targets, err)
	}
}

func TestExpiry(t *testing.T) {
	for _, c := range []struct {
		at   ic.Time
		kind string
		by   Signer
		ok   bool
	}{
		{now, Call, user{Identity: key(t, 1)}, true},
		{now - 1, Call, user{Identity: key(t, 1)}, false},
		{now + MaxTTL, Call, user{Identity: key(t, 1)}, true},
		{now + MaxTTL + 1, Call, user{Identity: key(t, 1)}, false},
		{now - 1, Query, user{Identity: key(t, 1)}, false},
		{now - 1, ReadState, user{Identity: key(t, 1)}, false},
		{now - 1, Call, anonymous{}, false},
		{0, Query, anonymous{}, true},
		{^ic.Time(0), ReadState, anonymous{}, true},
		{^ic.Time(0), Call, anonymous{}, false},
	} {
		in := content(c.kind)
		in.Expiry = uint64(c.at)
		_, _, err := check(t, seal(t, in, c.by), c.kind)
		if (err == nil) != c.ok {
			t.Errorf("%s by %T with expiry %d: %v", c.kind, c.by, int64(c.at-now), err)
		}
		if err != nil && !strings.HasPrefix(err.Error(), "Invalid request expiry: ") { // agent-js looks for these words
			t.Errorf("text is %q", err)
		}
	}
}

// Each case is an envelope with one thing wrong.
func TestRefusals(t *testing.T) {
	good := func() map[string]any {
		c := content(Call)
		return map[string]any{"content": contentFields(&c)}
	}
	signed := func(change func(w map[string]any)) []byte {
		c := content(Call)
		c.Sender = ic.SelfAuthenticating(key(t, 1).PublicKey()).Bytes()
		id := c.RequestID()
		sig, _ := key(t, 1).Sign(SignedBytes(id))
		w := map[string]any{"content": contentFields(&c), "sender_pubkey": key(t, 1).PublicKey(), "sender_sig": sig}
		change(w)
		return cbor.Marshal(w)
	}
	field := func(name string, v any) []byte {
		w := good()
		w["content"].(map[string]any)["sender"] = ic.Anonymous.Bytes()
		if v == nil {
			delete(w["content"].(map[string]any), name)
		} else {
			w["content"].(map[string]any)[name] = v
		}
		return cbor.Marshal(w)
	}
	if _, _, err := check(t, signed(func(map[string]any) {}), Call); err != nil {
		t.Fatal(err)
	}
	if _, _, err := check(t, field("nonce", make([]byte, 32)), Call); err != nil {
		t.Fatal(err)
	}
	for name, raw := range map[string][]byte{
		"no CBOR":                    []byte("hello"),
		"nothing":                    nil,
		"an empty map":               {0xa0},
		"content that is no map":     cbor.Marshal(map[string]any{"content": 5}),
		"a query":                    field("request_type", "query"),
		"no request_type":            field("request_type", nil),
		"no sender":                  field("sender", nil),
		"no expiry":                  field("ingress_expiry", nil),
		"no canister":                field("canister_id", nil),
		"no method":                  field("method_name", nil),
		"no arg":                     field("arg", nil),
		"an expiry in text":          field("ingress_expiry", "1"),
		"a float as expiry":          field("ingress_expiry", 1e18),
		"a negative expiry":          field("ingress_expiry", -1),
		"a nonce of 33 bytes":        field("nonce", make([]byte, 33)),
		"a sender of 30 bytes":       field("sender", make([]byte, 30)),
		"a canister of 30 bytes":     field("canister_id", make([]byte, 30)),
		"a method of 20001 bytes":    field("method_name", strings.Repeat("m", 20001)),
		"another signature":          signed(func(w map[string]any) { w["sender_sig"] = make([]byte, 64) }),
		"no signature":               signed(func(w map[string]any) { delete(w, "sender_sig") }),
		"no key":                     signed(func(w map[string]any) { delete(w, "sender_pubkey") }),
		"another key":                signed(func(w map[string]any) { w["sender_pubkey"] = key(t, 2).PublicKey() }),
		"a content that was changed": signed(func(w map[string]any) { w["content"].(map[string]any)["arg"] = []byte("x") }),
		"anonymous with a signature": signed(func(w map[string]any) { w["content"].(map[string]any)["sender"] = []byte{4} }),
		"anonymous with empty chain": cbor.Marshal(map[string]any{"content": good()["content"], "sender_delegation": []any{}}),
		"the management as sender":   field("sender", []byte{}),
		"a canister as sender":       field("sender", ic.CanisterIDFromUint64(1).Bytes()),
		"sender_info by no canister": signed(func(w map[string]any) {
			w["content"].(map[string]any)["sender_info"] = map[string]any{"info": []byte{1}, "signer": []byte{1}, "sig": []byte{1}}
		}),
		"sender_info of nobody": field("sender_info", map[string]any{"info": []byte{1}, "signer": []byte{1}, "sig": []byte{1}}),
	} {
		if _, _, err := check(t, raw, Call); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	paths := func(n, labels int) []byte {
		c := content(ReadState)
		c.Paths = nil
		for range n {
			c.Paths = append(c.Paths, make([][]byte, labels))
		}
		for _, p := range c.Paths {
			for i := range p {
				p[i] = []byte{}
			}
		}
		return seal(t, c, anonymous{})
	}
	for _, c := range []struct {
		n, labels int
		ok        bool
	}{{0, 0, true}, {1000, 1, true}, {1001, 1, false}, {1, 127, true}, {1, 128, false}} {
		if _, _, err := check(t, paths(c.n, c.labels), ReadState); (err == nil) != c.ok {
			t.Errorf("%d paths of %d labels: %v", c.n, c.labels, err)
		}
	}
}

func FuzzParse(f *testing.F) {
	u := user{Identity: key(f, 1)}.to(f, key(f, 2), nil)
	for i, kind := range []string{Call, Query, ReadState} {
		f.Add(i, seal(f, content(kind), u))
		f.Add(i, seal(f, content(kind), anonymous{}))
	}
	f.Fuzz(func(t *testing.T, i int, raw []byte) {
		kind := []string{Call, Query, ReadState}[uint(i)%3]
		e, err := Parse(raw, kind)
		if err != nil {
			return
		}
		_, _ = e.Authenticate(now, &usersig.Verifier{})
		if again := e.Content.RequestID(); again != e.ID {
			t.Fatalf("the id changes: %x %x", again, e.ID)
		}
		_ = e.Ingress()
	})
}
