package keystore

import (
	"bytes"
	"crypto/sha256"
	"crypto/sha3"
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"

	"ashlar/replica/crypto/bls"
	"ashlar/replica/crypto/dkg"
	"ashlar/replica/ic"
)

func stream(seed string) io.Reader {
	h := sha3.NewSHAKE128()
	h.Write([]byte(seed))
	return h
}

func nodes(t *testing.T, n int) []*Keys {
	t.Helper()
	var out []*Keys
	for i := range n {
		out = append(out, FromSeed([32]byte{byte(i)}))
	}
	return out
}

// generate lets all nodes deal, and loads nobody's share.
func generate(t *testing.T, all []*Keys, tag dkg.Tag, previous *dkg.Transcript) *dkg.Transcript {
	t.Helper()
	c := &dkg.Config{Subnet: ic.SubnetID{Principal: "s"}, Tag: tag, Previous: previous}
	for _, k := range all {
		e, err := k.EncryptionKey(stream("key"))
		if err != nil {
			t.Fatal(err)
		}
		if e, err = dkg.ParseEncryptionKey(k.NodeID(), e.Bytes()); err != nil { // through the registry
			t.Fatal(err)
		}
		c.Dealers, c.Receivers = append(c.Dealers, k.NodeID()), append(c.Receivers, e)
	}
	s, err := dkg.NewSession(c)
	if err != nil {
		t.Fatal(err)
	}
	var hash [32]byte
	if previous != nil {
		hash = previous.Hash()
	}
	var dealings []*dkg.Dealing
	for i, k := range all[:s.Needed()] {
		raw, err := k.Deal(stream("deal"), s, i, hash)
		if err != nil {
			t.Fatal(err)
		}
		d, err := s.Verify(i, raw)
		if err != nil {
			t.Fatal(err)
		}
		dealings = append(dealings, d)
	}
	tr, err := s.Combine(dealings)
	if err != nil {
		t.Fatal(err)
	}
	return tr
}

// Two intervals in the life of a node's keys.
func TestIntervals(t *testing.T) {
	all := nodes(t, 4)
	k := all[2]
	low, high := generate(t, all, dkg.Low, nil), generate(t, all, dkg.High, nil)
	m := []byte("message")
	if _, err := k.SignWith(low.Hash(), m); !errors.Is(err, ErrNoShare) {
		t.Errorf("signed with what is not loaded: %v", err)
	}
	for _, n := range all {
		for _, tr := range []*dkg.Transcript{low, high, high} {
			if err := n.Load(stream("load"), tr); err != nil {
				t.Fatal(err)
			}
		}
	}
	for _, tr := range []*dkg.Transcript{low, high} {
		var shares []bls.Share
		for i, n := range all {
			sig, err := n.SignWith(tr.Hash(), m)
			if err != nil {
				t.Fatal(err)
			}
			shares = append(shares, bls.Share{Index: i, Signature: sig})
		}
		if sig, bad, err := tr.Group().Combine(m, shares); err != nil || len(bad) > 0 || tr.Group().Key.Verify(m, sig) != nil {
			t.Errorf("signs with another share: %v, bad %v", err, bad)
		}
	}

	if err := k.Rotate(stream("rotate")); err != nil {
		t.Fatal(err)
	}
	k.Retire(99) // never the newest
	next := generate(t, all, dkg.High, high)
	if !next.Group().Key.Equal(high.Group().Key) {
		t.Error("another key")
	}
	dir := t.TempDir()
	if err := k.Save(dir); err != nil {
		t.Fatal(err)
	}
	back, err := Load(dir)
	if err != nil {
		t.Fatal(err)
	}
	if !back.Holds(low.Hash()) || !back.Holds(high.Hash()) || back.Holds(next.Hash()) || back.dealing[0].Generation != 2 || len(back.dealing) != 1 {
		t.Error("other keys came back")
	}
	if err := back.Load(stream("load"), next); err != nil {
		t.Fatal(err)
	}
	erased := back.shares[high.Hash()]
	back.Retain(low.Hash(), next.Hash())
	if back.Holds(high.Hash()) || !back.Holds(next.Hash()) || !bytes.Equal(erased.Bytes(), make([]byte, 32)) {
		t.Error("retained others than those that were named")
	}
	if _, err := back.SignWith(high.Hash(), m); !errors.Is(err, ErrNoShare) {
		t.Errorf("signed with an erased share: %v", err)
	}
}

// Forward secrecy by rotation: what was dealt to a retired key stays closed.
func TestRetired(t *testing.T) {
	all := nodes(t, 1)
	tr := generate(t, all, dkg.High, nil)
	k := all[0]
	old := k.dealing[0]
	if err := k.Rotate(stream("r")); err != nil {
		t.Fatal(err)
	}
	k.Retire(2)
	if !bytes.Equal(old.Bytes()[8:], make([]byte, 32)) {
		t.Error("the retired key is still in memory")
	}
	if err := k.Load(stream("l"), tr); !errors.Is(err, dkg.ErrNoKey) {
		t.Errorf("opened: %v", err)
	}
	if _, err := k.Deal(stream("d"), nil, 0, [32]byte{1}); !errors.Is(err, ErrNoShare) {
		t.Errorf("dealt a share that is not there: %v", err)
	}
	for range maxDealing - 1 {
		if err := k.Rotate(stream("r")); err != nil {
			t.Fatal(err)
		}
	}
	if err := k.Rotate(stream("r")); err == nil {
		t.Error("no limit on generations")
	}
}

func TestCommittee(t *testing.T) {
	all := nodes(t, 3)
	m := []byte("block")
	var keys []*bls.PublicKey
	var sigs [][]byte
	for _, k := range all {
		if err := k.Committee().VerifyPossession(k.CommitteePossession()); err != nil {
			t.Error(err)
		}
		keys, sigs = append(keys, k.Committee()), append(sigs, k.CommitteeShare(m))
	}
	sum, err := bls.AggregateKeys(keys)
	if err != nil {
		t.Fatal(err)
	}
	sig, err := bls.Aggregate(sigs)
	if err != nil || sum.Verify(m, sig) != nil {
		t.Errorf("not their signature: %v", err)
	}
	if again := nodes(t, 3); !again[1].Committee().Equal(keys[1]) || keys[0].Equal(keys[1]) {
		t.Error("seeds make other keys, or the same for all")
	}
}

// Files of older formats are read, and saved in the last one: the share that both had,
// which signs nothing, is gone then.
func TestOlderFormats(t *testing.T) {
	_, k := saved(t)
	share, err := bls.GenerateKey(stream("share"))
	if err != nil {
		t.Fatal(err)
	}
	k.shares[[32]byte{7}] = share
	first := append(append([]byte(magic1), k.node.Seed()...), share.Bytes()...)
	whole := k.encode()
	head := len(magic3) + len(k.node.Seed()) + bls.SecretKeyBytes
	second := append([]byte(magic2), whole[len(magic3):head]...)
	second = append(append(second, bytes.Repeat([]byte{5}, bls.SecretKeyBytes)...), whole[head:len(whole)-sha256.Size]...)
	for name, data := range map[string][]byte{"the first": first, "the second": second} {
		sum := sha256.Sum256(data)
		dir := t.TempDir()
		path := filepath.Join(dir, FileName)
		if err := os.WriteFile(path, append(data, sum[:]...), 0o600); err != nil {
			t.Fatal(err)
		}
		one, err := Load(dir)
		if err != nil {
			t.Fatal(name, err)
		}
		two, err := Load(dir)
		if err != nil {
			t.Fatal(name, err)
		}
		if one.NodeID() != k.NodeID() || !one.Committee().Equal(two.Committee()) || !bytes.Equal(one.dealing[0].Bytes(), two.dealing[0].Bytes()) {
			t.Errorf("%s: another node, or keys that were not saved", name)
		}
		if name == "the second" && (!one.Committee().Equal(k.Committee()) || !one.Holds([32]byte{7})) {
			t.Errorf("%s: other keys", name)
		}
		now, err := os.ReadFile(path)
		if err != nil || string(now[:len(magic3)]) != magic3 || bytes.Contains(now, bytes.Repeat([]byte{5}, bls.SecretKeyBytes)) {
			t.Errorf("%s: it is not saved in the last format: %v", name, err)
		}
	}
}

func FuzzParse(f *testing.F) {
	share, err := bls.GenerateKey(stream("fuzz"))
	if err != nil {
		f.Fatal(err)
	}
	k := FromSeed([32]byte{})
	k.shares[[32]byte{1}] = share
	f.Add(k.encode())
	f.Add([]byte(magic1))
	f.Fuzz(func(t *testing.T, data []byte) {
		body := append([]byte(magic3), data...)
		sum := sha256.Sum256(body)
		if k, _, err := parse(append(body, sum[:]...)); err == nil && len(k.encode()) > int(maxFileBytes) {
			t.Error("longer than the limit")
		}
		parse(data)
	})
}

// A node that may have signed is known by a mark, before it has any share; another
// directory, and a new node, have none.
func TestUsed(t *testing.T) {
	k, err := Generate()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if k.Used(dir) {
		t.Error("new keys are used")
	}
	for range 2 {
		if err := k.MarkUsed(dir); err != nil {
			t.Fatal(err)
		}
	}
	if !k.Used(dir) || k.Used(t.TempDir()) {
		t.Errorf("used: %v, elsewhere: %v", k.Used(dir), k.Used(t.TempDir()))
	}
	if err := k.MarkUsed(filepath.Join(dir, "none")); err == nil {
		t.Error("a mark in a directory that does not exist")
	}
}
