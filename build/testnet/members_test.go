package testnet

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"ashlar/replica/crypto/bls"
	"ashlar/replica/crypto/dkg"
	"ashlar/replica/crypto/keystore"
)

// awaitState of a node's process.
func awaitState(t *testing.T, d *Node, want string) {
	t.Helper()
	end := time.Now().Add(90 * time.Second)
	for d.State() != want {
		if time.Now().After(end) {
			t.Fatalf("node %d is %s, and not %s", d.Number, d.State(), want)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// goOn by some heights, without calls.
func goOn(t *testing.T, nodes ...*Node) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	h, err := heights(ctx, nodes)
	if err == nil {
		err = reach(ctx, nodes, slices.Max(h)+onward)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// shares that a node has on its disk: the end of its file of keys is a name and a share
// each, and a checksum.
func shares(t *testing.T, d *Node) (out [][]byte) {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(d.Dir, keystore.FileName))
	if err != nil {
		t.Fatal(err)
	}
	const each, sum = 32 + bls.SecretKeyBytes, 32
	const head = 14 + 32 + bls.SecretKeyBytes + 1 + dkg.DecryptionKeyBytes + 1 // before the first
	for end := len(data) - sum; end-each >= head; end -= each {
		out = append(out, data[end-bls.SecretKeyBytes:end])
	}
	if len(out) < 2 {
		t.Fatalf("node %d has %d shares", d.Number, len(out))
	}
	return out
}

// files of a directory, but those of the store: no key is ever in there.
func files(t *testing.T, dir string) (all []byte) {
	t.Helper()
	names, err := os.ReadDir(dir)
	for _, n := range names {
		if n.IsDir() {
			continue
		}
		data, e := os.ReadFile(filepath.Join(dir, n.Name()))
		all, err = append(all, data...), errors.Join(err, e)
	}
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// A member that is removed serves until its last interval ends, ends then and says why,
// and comes back when it is made a member again. One that was away meanwhile finds out.
func TestRemoveAndAdd(t *testing.T) {
	const interval = 20
	n := startCounting(t, interval)
	first := shares(t, n.Nodes[0])
	var said strings.Builder
	say := func(words ...string) {
		t.Helper()
		if err := n.Do(t.Context(), words, &said); err != nil {
			t.Fatal(err)
		}
	}
	say("remove", "2")
	if !strings.Contains(said.String(), "3 members are left, of which 0 may fail") {
		t.Errorf("says %q", said.String())
	}
	if err := n.Do(t.Context(), []string{"remove", "2"}, &said); err == nil || !strings.Contains(err.Error(), "is no member") {
		t.Errorf("removed twice: %v", err)
	}
	goOn(t, n.Nodes...) // it is in office still
	n.onwards(3 * interval)
	awaitState(t, n.Nodes[1], "left")
	if words := n.Nodes[1].lastWords(); !strings.Contains(words, "no member") || !strings.Contains(words, "can be erased") {
		t.Errorf("its last words: %s", words)
	}
	say("status")
	if !strings.Contains(said.String(), " left ") {
		t.Errorf("status does not say that it left:\n%s", said.String())
	}
	goOn(t, n.Nodes[0], n.Nodes[2], n.Nodes[3])
	for _, share := range first {
		if bytes.Contains(files(t, n.Nodes[0].Dir), share) {
			t.Error("a share of an interval that ended is still on the disk")
		}
	}
	if err := n.Nodes[1].Start(); err != nil {
		t.Fatal(err)
	}
	awaitState(t, n.Nodes[1], "left")

	say("add", "2")
	n.onwards(4 * interval)
	if err := n.Nodes[2].Kill(); err != nil { // so that it is needed
		t.Fatal(err)
	}
	goOn(t, n.Nodes[0], n.Nodes[1], n.Nodes[3])

	say("remove", "3")
	n.onwards(4 * interval)
	say("start", "3") // its peers have forgotten it
	awaitState(t, n.Nodes[2], "left")
	if words := n.Nodes[2].lastWords(); !strings.Contains(words, "no member") {
		t.Errorf("its last words: %s", words)
	}
	goOn(t, n.Nodes[0], n.Nodes[1], n.Nodes[3])
}

// Keys for dealings are replaced while the subnet goes on; one node is away, and has its
// turn later. The old keys are erased once no key in use was dealt to them, and not before.
func TestRotateKeys(t *testing.T) {
	const interval = 20
	n := startCounting(t, interval)
	generations := func(d *Node) (oldest, newest uint64) {
		t.Helper()
		for { // the node may be saving: a copy, and another one
			dir := t.TempDir()
			data, err := os.ReadFile(filepath.Join(d.Dir, keystore.FileName))
			if err == nil {
				err = os.WriteFile(filepath.Join(dir, keystore.FileName), data, 0o600)
			}
			if err != nil {
				t.Fatal(err)
			}
			if k, err := keystore.Load(dir); err == nil {
				return k.Generations()
			}
		}
	}
	onwards := func(intervals uint64) {
		t.Helper()
		n.onwards(intervals * interval)
		time.Sleep(2 * time.Second) // old keys are looked after every second
	}
	rotate := func(want int) {
		t.Helper()
		said, err := n.network("rotate-keys", "--dir", n.Dir, "--offline")
		if err == nil {
			err = n.send()
		}
		if err != nil || strings.Count(said, "another key for dealings") != want {
			t.Errorf("%v, says %s", err, said)
		}
	}
	if err := n.Nodes[3].Kill(); err != nil {
		t.Fatal(err)
	}
	rotate(3)
	if oldest, newest := generations(n.Nodes[0]); oldest != 1 || newest != 2 {
		t.Errorf("node 1 has generations %d to %d", oldest, newest)
	}
	onwards(1) // without it keys are dealt to what the registry says of it
	if err := errorsOf(n.Nodes[3].Start(), n.Nodes[3].Await(t.Context())); err != nil {
		t.Fatal(err)
	}
	onwards(11) // heights stay known a while for peers that lag, and with them their keys
	for i, d := range n.Nodes {
		want := uint64(2)
		if i == 3 {
			want = 1
		}
		if oldest, newest := generations(d); oldest != want || newest != want {
			t.Errorf("node %d has generations %d to %d", d.Number, oldest, newest)
		}
	}
	goOn(t, n.Nodes...)
	rotate(4)
	onwards(3)
	for i, d := range n.Nodes {
		want := uint64(3)
		if i == 3 {
			want = 2
		}
		if _, newest := generations(d); newest != want {
			t.Errorf("node %d has generation %d", d.Number, newest)
		}
	}
	if err := n.Nodes[0].Kill(); err != nil { // so that the others are needed, with their new shares
		t.Fatal(err)
	}
	goOn(t, n.Nodes[1:]...)
}
