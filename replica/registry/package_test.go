package registry

import (
	"crypto/ed25519"
	"strings"
	"testing"

	"ashlar/replica/crypto/dkg"
	"ashlar/replica/ic"
	"ashlar/replica/wire/block"
	"ashlar/replica/wire/records"
)

// summaryOf is a package of height h, with the committee of a record.
func summaryOf(t *testing.T, r *Record, h ic.Height, root block.Hash, low, high *dkg.Transcript) *block.Artifact {
	t.Helper()
	c := &block.Committee{Registry: 1, Low: low.Bytes(), High: high.Bytes()}
	for _, m := range r.Members {
		c.Members = append(c.Members, m.Member)
	}
	s := &block.Summary{Length: r.Interval, NextLength: r.Interval, Version: r.Version, Current: c}
	b := &block.Block{Height: h, Time: 77 + ic.Time(h), Registry: 1, Sections: []block.Section{{Kind: block.SummarySection, Data: s.Encode()}}}
	return &block.Artifact{Kind: block.CUP, Height: h, Block: b, Other: root, Hash: block.CUPHash(b.Hash(), nil, root)}
}

// A network that begins with a package, and is recovered with another.
func TestPackages(t *testing.T) {
	tr := &trial{t: t, authority: ed25519.NewKeyFromSeed(make([]byte, 32)), store: New()}
	g := &Genesis{Version: "0.1", Interval: 50, Time: 77, Authority: []ed25519.PublicKey{tr.authority.Public().(ed25519.PublicKey)}}
	for i := range 4 {
		tr.nodes = append(tr.nodes, person(byte(i)))
		g.Nodes = append(g.Nodes, tr.handIn(i))
	}
	var low, high *dkg.Transcript
	var rec *Record
	g.Found = func(r *Record, registry uint64, now ic.Time) (*block.Artifact, error) {
		var keys []*dkg.EncryptionKey
		for _, m := range r.Members {
			k, err := dkg.ParseEncryptionKey(m.Node, m.Encryption)
			if err != nil {
				return nil, err
			}
			keys = append(keys, k)
		}
		var err error
		if low, err = deal(stream("low"), keys, dkg.Low); err == nil {
			high, err = deal(stream("high"), keys, dkg.High)
		}
		rec = r
		return summaryOf(t, r, 0, block.Hash{}, low, high), err
	}
	m, subnet, err := g.Make(nil)
	if err != nil {
		t.Fatal(err)
	}
	tr.subnet = subnet
	if err := tr.store.Take(Sign(m, 1, [32]byte{}, tr.authority)); err != nil {
		t.Fatal(err)
	}
	v, err := tr.store.View(1, subnet)
	if err != nil || v.Start == nil || v.Start.Height != 0 || v.Low.Hash() != low.Hash() || v.High.Hash() != high.Hash() || rec.Interval != 50 {
		t.Fatalf("%+v, %v", v, err)
	}
	cup := func(p *block.Artifact) *records.CUP {
		c, err := Begin(p)
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	recovery := cup(summaryOf(t, rec, 100, block.Hash{5}, low, high))
	for says, spoil := range map[string]func(c *records.CUP){
		"not the one that the record describes":     func(c *records.CUP) { c.Time, c.Recovery.Time = 1, 1 },
		"not the one that the record describes\x00": func(c *records.CUP) { c.Low = v.CUP.High },
		"not an unsigned catch-up package": func(c *records.CUP) {
			p := summaryOf(t, rec, 100, block.Hash{5}, low, high)
			p.Signature = []byte("sig")
			c.Package = p.Encode()
		},
		"the catch-up package: ": func(c *records.CUP) { c.Package = c.Package[1:] },
	} {
		says, _, _ = strings.Cut(says, "\x00")
		var c records.CUP
		if err := records.Decode(records.Encode(recovery), &c); err != nil {
			t.Fatal(err)
		}
		spoil(&c)
		if err := tr.store.Take(tr.sign(upsert(records.KeyCUP(subnet), &c))); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%s: %v", says, err)
		}
	}
	tr.take(upsert(records.KeyCUP(subnet), recovery))
	if v, err := tr.store.View(2, subnet); err != nil || v.Start.Height != 100 || v.Start.Other != (block.Hash{5}) {
		t.Errorf("%+v, %v", v, err)
	}
}
