package admin

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"ashlar/replica/crypto/dkg"
	"ashlar/replica/ic"
	"ashlar/replica/registry"
	"ashlar/replica/wire/block"
	"ashlar/replica/wire/records"
)

// This file: a subnet that lost more nodes than it can do without goes on from the
// newest state that is left.
//
//	Survey ──> Survey again: nobody moved? ──> Choose ──> wait until NotBefore ──> Recover ──> Send
//
// Every certified state was executed by n-f members, so as long as f+1 of them are left,
// one of those has it: the newest state that they have holds all that users were told.

// maxStanding is the largest answer: a package of forty members has 300 kB.
const maxStanding = 4 << 20

// clocksDiffer by no more than this (replica/consensus, maxDrift): a node that lost what
// it had signed stays silent until it sees a block that is later than the loss by that.
const clocksDiffer = ic.Time(30e9)

// Answer is what a node said of itself, or why it did not.
type Answer struct {
	URL string
	registry.Standing
	Err error
}

// Survey asks nodes where they are; without URLs all members.
func (n *Network) Survey(ctx context.Context, urls ...string) (out []Answer, err error) {
	if len(urls) == 0 {
		if urls, err = n.urls(); err != nil {
			return nil, err
		}
	}
	for _, url := range urls {
		f := Answer{URL: url}
		f.Err = f.ask(ctx)
		out = append(out, f)
	}
	return out, nil
}

func (f *Answer) ask(ctx context.Context) error {
	ctx, stop := context.WithTimeout(ctx, sendTimeout)
	defer stop()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, strings.TrimRight(f.URL, "/")+registry.StandingPath, nil)
	if err != nil {
		return err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(io.LimitReader(resp.Body, maxStanding))
	if err != nil {
		return err
	}
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("%s: %s", resp.Status, strings.TrimSpace(string(raw)))
	}
	if err := json.Unmarshal(raw, &f.Standing); err != nil {
		return fmt.Errorf("where it is: %w", err)
	}
	if f.Height > 0 && len(f.Root) != len(block.Hash{}) {
		return fmt.Errorf("it has a state whose root has %d bytes", len(f.Root))
	}
	return nil
}

// Moved tells of a node that came between two surveys to a height that none had before:
// a subnet that moves needs no recovery, and would lose what it does meanwhile.
func Moved(before, after []Answer) (url string, moved bool) {
	newest := ic.Height(0)
	for _, a := range before {
		newest = max(newest, a.Height)
	}
	for _, a := range after {
		if a.Err == nil && a.Height > newest {
			return a.URL, true
		}
	}
	return "", false
}

// Choice of a recovery, and what is to be known of it.
type Choice struct {
	Recovery
	From      string  // the node that has the state
	Left      int     // nodes that have a state
	Members   int     // of the subnet
	NotBefore ic.Time // when the recovery may be signed, or nodes stay silent in it
}

// Whole tells whether enough nodes are left that one of them has all that was certified.
func (c *Choice) Whole() bool { return c.Left > (c.Members-1)/3 }

// Choose the newest state that was found. Nodes that disagree about one height are for
// somebody to look at.
func (n *Network) Choose(found []Answer) (*Choice, error) {
	c := &Choice{}
	var newest *block.Artifact
	for _, f := range found {
		if f.Forgot > 0 {
			c.NotBefore = max(c.NotBefore, f.Forgot+clocksDiffer+1)
		}
		if f.Err != nil || f.Height == 0 || len(f.Package) == 0 {
			continue
		}
		cup, err := block.Decode(f.Package)
		if err != nil || cup.Kind != block.CUP {
			return nil, fmt.Errorf("%s shows no catch-up package: %v", f.URL, err)
		}
		if newest == nil || cup.Height > newest.Height {
			newest = cup
		}
		c.Left++
		root := [32]byte(f.Root)
		switch {
		case f.Height == c.Height && root != c.Root:
			return nil, fmt.Errorf("%s and %s have different states of height %d\n  find out which one is right, and name that node alone: network recover URL --accept-loss", c.From, f.URL, f.Height)
		case f.Height > c.Height:
			c.From, c.Height, c.Root, c.Time = f.URL, f.Height, root, f.Time
		}
	}
	if newest == nil {
		return nil, errors.New("no node has a state to go on from\n  start those that have one, and recover then")
	}
	return c, n.keys(c, newest)
}

// keys of a recovery are those of the newest package, which the subnet signed, or the
// registry itself has.
func (n *Network) keys(c *Choice, cup *block.Artifact) error {
	v, err := n.View()
	if err != nil {
		return err
	}
	c.Low, c.High = v.Low, v.High
	if uint64(cup.Height) > v.CUP.Height {
		if err := v.Group.Key.Verify(cup.Message(n.subnet, block.Hash{}), cup.Signature); err != nil {
			return fmt.Errorf("the catch-up package of height %d is not the subnet's: %w", cup.Height, err)
		}
		s, err := block.DecodeSummary(cup.Block.Section(block.SummarySection))
		if err == nil {
			c.Low, err = dkg.DecodeTranscript(s.Current.Low)
		}
		if err == nil {
			c.High, err = dkg.DecodeTranscript(s.Current.High)
		}
		if err != nil {
			return fmt.Errorf("the keys of the catch-up package of height %d: %w", cup.Height, err)
		}
	}
	c.Members = len(c.High.Receivers())
	return nil
}

// Recovery is from where a subnet that came to a halt goes on.
type Recovery struct {
	Height    ic.Height       // of the state; not below that of the last beginning or recovery
	Root      [32]byte        // of that state, which one member at least must have
	Time      ic.Time         // of the recovery, later than that state: what nodes signed before it counts no more
	Low, High *dkg.Transcript // of the last catch-up package: their holders are the members
}

// Recover names it in the registry, for nodes to start from.
func (n *Network) Recover(r Recovery) error {
	c := &records.CUP{Low: registry.Wrap(r.Low), High: registry.Wrap(r.High), Height: uint64(r.Height), Time: uint64(r.Time), StateHash: r.Root[:],
		Recovery: &records.Recovery{Height: uint64(r.Height), Time: uint64(r.Time), StateHash: r.Root[:]}}
	return n.subnetChange(func(s *records.Subnet) error {
		s.Members, s.HaltAtCUP, s.Halted = r.High.Receivers(), false, false
		return nil
	}, update(records.KeyCUP(n.subnet), c))
}

// now is the time of day.
func now() ic.Time { return ic.Time(time.Now().UnixNano()) }

// Sign the recovery of a choice, at this moment.
func (n *Network) Sign(c *Choice) error {
	at := now()
	if at < c.NotBefore {
		return fmt.Errorf("nodes that lost what they had signed would be silent in it: wait another %v", time.Duration(c.NotBefore-at))
	}
	r := c.Recovery
	r.Time = max(at, r.Time+1)
	return n.Recover(r)
}
