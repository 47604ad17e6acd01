package cert

import (
	"bytes"
	"encoding/hex"
	"os"
	"strings"
	"testing"

	"ashlar/replica/crypto/bls"
	"ashlar/replica/ic"
	"ashlar/replica/wire/cbor"
	"ashlar/replica/wire/hashtree"
)

// mainnetKey is the root key of the production network.
const mainnetKey = "308182301d060d2b0601040182dc7c0503010201060c2b0601040182dc7c05030201036100814c0e6ec71fab583b08bd81373c255c3c371b2e84863c98a4f1e08b74235d14fb5d9c0cd546d9685f913a0c0b2cc5341583bf4b4392e467db96d65b9bb4cb717112f8472e0d5a4d14505ffd7484b01291091c5f87b98883463f98091a0baaae"

func verifyBLS(der, message, sig []byte) error {
	k, err := bls.ParseDER(der)
	if err != nil {
		return err
	}
	return k.Verify(message, sig)
}

func hexed(t *testing.T, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.TrimSpace(s))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// mainnet is a certificate that a subnet of the production network made: the
// rejection of a call to ivg37-qiaaa-aaaab-aaaga-cai.
func mainnet(t *testing.T) *Certificate {
	t.Helper()
	raw, err := os.ReadFile("testdata/mainnet.hex")
	if err != nil {
		t.Fatal(err)
	}
	c, err := Decode(hexed(t, string(raw)))
	if err != nil {
		t.Fatal(err)
	}
	if again := c.Encode(); len(again) != len(hexed(t, string(raw))) {
		t.Errorf("encodes to %d bytes", len(again))
	}
	return c
}

func TestMainnetCertificate(t *testing.T) {
	c, root := mainnet(t), hexed(t, mainnetKey)
	canister, _ := ic.ParsePrincipal("ivg37-qiaaa-aaaab-aaaga-cai")
	if err := c.VerifyFor(ic.CanisterID{Principal: canister}, root, verifyBLS); err != nil {
		t.Fatal(err)
	}
	for _, edge := range []string{"\x00\x00\x00\x00\x00\x20\x00\x00\x01\x01", "\x00\x00\x00\x00\x00\x2f\xff\xff\x01\x01"} {
		if err := c.VerifyFor(ic.CanisterID{Principal: ic.Principal(edge)}, root, verifyBLS); err != nil {
			t.Errorf("%x: %v", edge, err)
		}
	}
	if at, err := c.Time(); err != nil || at != 1645601880652705378 {
		t.Errorf("time is %d, %v", at, err)
	}
	var id []byte
	status, _ := c.Tree.Subtree(hashtree.P("request_status"))
	status.Each(func(l []byte, _ *hashtree.Tree) { id = l })
	if v, s := c.Tree.Lookup(hashtree.Path{[]byte("request_status"), id, []byte("status")}); s != hashtree.Found || string(v) != "rejected" {
		t.Errorf("status is %q, %v", v, s)
	}
	subnet := ic.SubnetID{Principal: ic.Principal(c.Delegation.SubnetID)}
	if err := c.VerifyForSubnet(subnet, root, verifyBLS); err != nil {
		t.Error(err)
	}
}

func TestVerifyRefuses(t *testing.T) {
	root := hexed(t, mainnetKey)
	canister := ic.CanisterIDFromUint64(0x200006)
	for name, spoil := range map[string]func(c *Certificate){
		"another tree": func(c *Certificate) { c.Tree = hashtree.NewFork(c.Tree, nil) },
		"a changed signature": func(c *Certificate) {
			c.Signature = bytes.Clone(c.Delegation.Certificate[len(c.Delegation.Certificate)-48:])
		},
		"a signature of zeros":     func(c *Certificate) { c.Signature = make([]byte, 48) },
		"no delegation":            func(c *Certificate) { c.Delegation = nil },
		"a delegation to another":  func(c *Certificate) { c.Delegation.SubnetID = []byte("\x01\x02") },
		"a delegation that is cut": func(c *Certificate) { c.Delegation.Certificate = c.Delegation.Certificate[:99] },
		"a delegation in another":  func(c *Certificate) { c.Delegation.Certificate = mainnet(t).Encode() },
		"a delegation with its own changed": func(c *Certificate) {
			d, _ := Decode(c.Delegation.Certificate)
			d.Tree = hashtree.NewFork(d.Tree, nil)
			c.Delegation.Certificate = d.Encode()
		},
		"ranges that are pruned away": func(c *Certificate) {
			d, _ := Decode(c.Delegation.Certificate)
			d.Tree = d.Tree.Witness([]hashtree.Path{{[]byte("subnet"), c.Delegation.SubnetID, []byte("public_key")}})
			c.Delegation.Certificate = d.Encode()
		},
	} {
		c := mainnet(t)
		spoil(c)
		if err := c.VerifyFor(canister, root, verifyBLS); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	if err := mainnet(t).VerifyFor(ic.CanisterIDFromUint64(2), root, verifyBLS); err == nil || !strings.Contains(err.Error(), "does not host") {
		t.Errorf("a canister of another subnet: %v", err)
	}
	if err := mainnet(t).VerifyForSubnet(ic.SubnetID{Principal: "\x01"}, root, verifyBLS); err == nil {
		t.Error("another subnet: accepted")
	}
}

// The new form of ranges, in shards, with one of them revealed.
func TestRangesInShards(t *testing.T) {
	id := func(n uint64) ic.CanisterID { return ic.CanisterIDFromUint64(n) }
	one := []ic.CanisterRange{{First: id(0), Last: id(9)}, {First: id(20), Last: id(29)}}
	two := []ic.CanisterRange{{First: id(40), Last: id(49)}}
	tree := hashtree.Dir([]hashtree.Entry{{Label: "canister_ranges", Tree: hashtree.Dir([]hashtree.Entry{{Label: "net", Tree: hashtree.Dir([]hashtree.Entry{
		{Label: string(id(0).Principal), Tree: hashtree.NewLeaf(EncodeRanges(one))},
		{Label: string(id(40).Principal), Tree: hashtree.NewLeaf(EncodeRanges(two))},
	})}})}})
	if rs, err := Ranges(tree, []byte("net")); err != nil || len(rs) != 3 || rs[1] != one[1] {
		t.Errorf("whole tree: %v, %v", rs, err)
	}
	part := tree.Witness([]hashtree.Path{hashtree.P("canister_ranges", "net", string(id(40).Principal))})
	if rs, err := Ranges(part, []byte("net")); err != nil || len(rs) != 1 || rs[0] != two[0] {
		t.Errorf("one shard: %v, %v", rs, err)
	}
	if _, err := Ranges(part, []byte("other")); err == nil {
		t.Error("ranges of a subnet that is not there")
	}
	if _, err := Ranges(tree.Witness(nil), []byte("net")); err == nil {
		t.Error("ranges that are pruned away")
	}
}

func TestPrincipalLists(t *testing.T) {
	want := []ic.Principal{ic.Anonymous, ic.Management}
	if got, err := DecodePrincipals(EncodePrincipals(want)); err != nil || len(got) != 2 || got[0] != want[0] {
		t.Errorf("%v, %v", got, err)
	}
	if _, err := DecodePrincipals(append([]byte{0x81, 0x58, 30}, make([]byte, 30)...)); err == nil {
		t.Error("a principal of 30 bytes was accepted")
	}
	if _, err := DecodeRanges([]byte{0x81, 0x81, 0x41, 0}); err == nil {
		t.Error("a range with one end was accepted")
	}
}

func FuzzDecode(f *testing.F) {
	raw, _ := os.ReadFile("testdata/mainnet.hex")
	b, _ := hex.DecodeString(strings.TrimSpace(string(raw)))
	f.Add(b)
	root, _ := hex.DecodeString(mainnetKey)
	f.Fuzz(func(t *testing.T, raw []byte) {
		c, err := Decode(raw)
		if err != nil {
			return
		}
		always := func(_, _, _ []byte) error { return nil }
		_ = c.VerifyFor(ic.CanisterIDFromUint64(0), root, always)
		_, _ = c.Time()
		if again, err := Decode(c.Encode()); err != nil || again.Tree.Digest() != c.Tree.Digest() {
			t.Fatalf("round trip: %v", err)
		}
	})
}

// Encode writes what the library would.
func TestEncode(t *testing.T) {
	c := mainnet(t)
	for range 2 {
		if got, want := c.Encode(), cbor.Marshal(c); !bytes.Equal(got, want) {
			t.Errorf("got %x, want %x", got, want)
		}
		c.Delegation = nil
	}
}
