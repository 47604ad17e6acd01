package usersig

import (
	"crypto/sha256"
	"fmt"
	"testing"

	"ashlar/replica/crypto/bls"
	"ashlar/replica/ic"
	"ashlar/replica/wire/cbor"
	"ashlar/replica/wire/cert"
	"ashlar/replica/wire/hashtree"
)

func verifyBLS(der, message, sig []byte) error {
	k, err := bls.ParseDER(der)
	if err != nil {
		return err
	}
	return k.Verify(message, sig)
}

// world is a root subnet, a subnet below it, and a canister that signs.
type world struct {
	root, sub   *bls.SecretKey
	canister    ic.CanisterID
	subnet      string
	subnetType  string
	ranges      []ic.CanisterRange
	seed        []byte
	message     []byte
	signedValue []byte
}

func newWorld(t *testing.T) *world {
	t.Helper()
	root, err := bls.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	sub, err := bls.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	c := ic.CanisterIDFromUint64(0x100007)
	return &world{root: root, sub: sub, canister: c, subnet: "subnet-1", subnetType: "application",
		ranges: []ic.CanisterRange{{First: ic.CanisterIDFromUint64(0x100000), Last: ic.CanisterIDFromUint64(0x1fffff)}},
		seed:   []byte("seed"), message: []byte("\x0aic-request and an id")}
}

func dir(entries ...any) *hashtree.Tree {
	var es []hashtree.Entry
	for i := 0; i < len(entries); i += 2 {
		es = append(es, hashtree.Entry{Label: entries[i].(string), Tree: entries[i+1].(*hashtree.Tree)})
	}
	return hashtree.Dir(es)
}

func leaf(s string) *hashtree.Tree { return hashtree.NewLeaf([]byte(s)) }

// sign makes a signature; with a delegation unless the root subnet signs.
func (w *world) sign(delegated bool) []byte {
	seed, message := sha256.Sum256(w.seed), sha256.Sum256(w.message)
	sigs := dir("sig", dir(string(seed[:]), dir(string(message[:]), hashtree.NewLeaf(w.signedValue))))
	digest := sigs.Digest()
	tree := dir("canister", dir(string(w.canister.Principal), dir("certified_data", hashtree.NewLeaf(digest[:]))), "time", leaf("\x01"))
	c := &cert.Certificate{Tree: tree, Signature: w.root.Sign(cert.StateRoot(tree.Digest()))}
	if delegated {
		fields := []any{"public_key", hashtree.NewLeaf(w.sub.PublicKey().DER()), "canister_ranges", hashtree.NewLeaf(cert.EncodeRanges(w.ranges))}
		if w.subnetType != "" {
			fields = append(fields, "type", leaf(w.subnetType))
		}
		top := dir("subnet", dir(w.subnet, dir(fields...)), "time", leaf("\x01"))
		inner := &cert.Certificate{Tree: top, Signature: w.root.Sign(cert.StateRoot(top.Digest()))}
		c.Signature = w.sub.Sign(cert.StateRoot(tree.Digest()))
		c.Delegation = &cert.Delegation{SubnetID: []byte(w.subnet), Certificate: inner.Encode()}
	}
	return cbor.Marshal(canisterSig{c.Encode(), sigs})
}

func (w *world) verifier() *Verifier {
	return &Verifier{RootKey: w.root.PublicKey().DER(), BLS: verifyBLS}
}

func TestCanisterSignature(t *testing.T) {
	for _, delegated := range []bool{false, true} {
		t.Run(fmt.Sprintf("delegated=%v", delegated), func(t *testing.T) {
			w := newWorld(t)
			sig, key := w.sign(delegated), CanisterKey(w.canister, w.seed)
			v := w.verifier()
			if err := v.Verify(key, w.message, sig); err != nil {
				t.Fatal(err)
			}
			if err := v.VerifyCanister(w.canister.Principal, key, w.message, sig); err != nil {
				t.Error(err)
			}
			for name, c := range map[string][3][]byte{
				"another message":  {key, []byte("another"), sig},
				"another seed":     {CanisterKey(w.canister, []byte("s")), w.message, sig},
				"another canister": {CanisterKey(ic.CanisterIDFromUint64(0x100008), w.seed), w.message, sig},
				"no signature":     {key, w.message, nil},
			} {
				if v.Verify(c[0], c[1], c[2]) == nil {
					t.Errorf("%s: accepted", name)
				}
			}
			if v.VerifyCanister(ic.CanisterIDFromUint64(1).Principal, key, w.message, sig) == nil {
				t.Error("another signer: accepted")
			}
			if (&Verifier{RootKey: newWorld(t).root.PublicKey().DER(), BLS: verifyBLS}).Verify(key, w.message, sig) == nil {
				t.Error("another root key: accepted")
			}
			w.signedValue = []byte("x")
			if v.Verify(key, w.message, w.sign(delegated)) == nil {
				t.Error("a value that is not empty: accepted")
			}
		})
	}
}

func TestCanisterSignatureOfTheWrongSubnet(t *testing.T) {
	for name, change := range map[string]func(*world){
		"a cloud engine":             func(w *world) { w.subnetType = "cloud_engine" },
		"a subnet without type":      func(w *world) { w.subnetType = "" },
		"a subnet of other ranges":   func(w *world) { w.ranges[0].First = ic.CanisterIDFromUint64(0x100008) },
		"a subnet without canisters": func(w *world) { w.ranges = nil },
	} {
		w := newWorld(t)
		change(w)
		if w.verifier().Verify(CanisterKey(w.canister, w.seed), w.message, w.sign(true)) == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}
