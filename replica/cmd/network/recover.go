package main

import (
	"errors"
	"fmt"
	"time"

	"ashlar/replica/registry/admin"
)

// quiet is how long no node may move before the subnet counts as stalled: longer than
// block makers of all ranks wait for each other.
const quiet = 5 * time.Second

// recover a subnet: see admin.Choose.
func (c *call) recover() error {
	n, err := admin.Open(c.dir)
	if err != nil {
		return err
	}
	return errors.Join(c.recoverFrom(n), n.Close())
}

func (c *call) recoverFrom(n *admin.Network) error {
	before, err := n.Survey(c.ctx, c.args...)
	if err != nil {
		return err
	}
	for _, a := range before {
		c.tellAnswer(a)
	}
	if _, err := n.Choose(before); err != nil {
		return err
	}
	if err := c.sleep(quiet); err != nil {
		return err
	}
	after, err := n.Survey(c.ctx, c.args...)
	if err != nil {
		return err
	}
	if url, moved := admin.Moved(before, after); moved {
		return fmt.Errorf("the subnet goes on by itself: %s moved within %v\n  a recovery would undo what it does meanwhile", url, quiet)
	}
	choice, err := n.Choose(after)
	if err != nil {
		return err
	}
	fmt.Fprintf(c.out, "from height %d, state %x of %s: %d of %d nodes have a state\n", choice.Height, choice.Root, choice.From, choice.Left, choice.Members)
	if !choice.Whole() && !c.loss {
		return fmt.Errorf("so few may lack what the others certified and told users\n  start more of those that still have their state, or accept that: --accept-loss")
	}
	if wait := time.Until(time.Unix(0, int64(choice.NotBefore))); wait > 0 {
		fmt.Fprintf(c.out, "waiting %v: nodes that lost what they had signed are silent until then\n", wait.Round(time.Second))
		if err := c.sleep(wait); err != nil {
			return err
		}
	}
	if err := n.Sign(choice); err != nil {
		return err
	}
	fmt.Fprintf(c.out, "version %d\n", n.Latest())
	if c.offline {
		return nil
	}
	return c.sendTo(n)
}

func (c *call) tellAnswer(a admin.Answer) {
	switch {
	case a.Err != nil:
		fmt.Fprintf(c.out, "%s: %v\n", a.URL, a.Err)
	case a.Height == 0:
		fmt.Fprintf(c.out, "%s has no state\n", a.URL)
	default:
		fmt.Fprintf(c.out, "%s has height %d, state %x, certified %d\n", a.URL, a.Height, a.Root, a.Certified)
	}
}

func (c *call) sleep(d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-c.ctx.Done():
		return c.ctx.Err()
	}
}
