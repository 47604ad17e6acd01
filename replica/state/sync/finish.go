package sync

import (
	"fmt"
	"maps"
	"math"
	"slices"

	"ashlar/replica/state/merkle"
)

// Finish makes the Stage hold what leads from the older state to the target, and
// nothing else. Call it once Done; then the Stage's entries are put over the state.
func (c *Client) Finish() error {
	if !c.done {
		return fmt.Errorf("state sync: %d nodes of the state are missing", len(c.waiting))
	}
	if c.cfg.Older != nil && c.cfg.Older.Sum() == c.root {
		return c.cfg.Stage.Sweep(func(func(string, Sum) error) error { return nil })
	}
	if c.careful {
		err := c.cfg.Stage.Sweep(func(yield func(string, Sum) error) error { return c.walk(&item{sum: c.root}, false, yield) })
		if err != nil {
			return err
		}
	}
	if c.cfg.Older == nil {
		return nil
	}
	if err := c.gone(&item{sum: c.root}, c.cfg.Older); err != nil {
		return err
	}
	return c.flush()
}

// inner is a node that is kept, nil where it is an entry or of the older state.
func (c *Client) inner(it *item) (*merkle.Decoded, error) {
	if it.expect == aPage {
		return nil, nil
	}
	raw, ok, err := c.cfg.Stage.Get(Inner, it.place(), it.sum)
	if err != nil || !ok {
		return nil, err
	}
	node, err := merkle.Decode(raw)
	if err != nil {
		return nil, fmt.Errorf("state sync: a node that was verified and kept on disk is damaged: %w", err)
	}
	return &node, nil
}

// walk yields what is in the tree and may be in the Stage, in order of key. A fork
// is a node without a label in a Dir: it is no entry.
func (c *Client) walk(it *item, fork bool, yield func(string, Sum) error) error {
	node, err := c.inner(it)
	if err != nil {
		return err
	}
	switch {
	case node != nil:
	case fork, it.expect == aBlock, it.expect == somePages:
		return nil // all below is of the older state
	case it.expect == aPage:
		return yield(it.place(), it.sum)
	default:
		return yield(it.key, it.sum)
	}
	for i, k := range it.kids(node) {
		if err := c.walk(k, node.Kind == merkle.Dir && node.Edges[i].Label == "", yield); err != nil {
			return err
		}
	}
	return nil
}

// gone notes the entries of older that are not in the tree.
func (c *Client) gone(it *item, older merkle.Node) error {
	node, err := c.inner(it)
	if node == nil || err != nil {
		return err // the same there, or a value in both
	}
	older = made(older)
	switch {
	case node.Kind != older.Kind():
		return fmt.Errorf("state sync: what is at key %x of the older state is of another kind", it.key)
	case node.Kind == merkle.Pages:
		return c.gonePages(it, node, older)
	}
	was, is := newLevel(older, math.MaxInt), map[string]*item{}
	if err := c.labels(it, was, is); err != nil {
		return err
	}
	for _, label := range slices.Sorted(maps.Keys(was.kids)) {
		n := was.kids[label]
		if now, ok := is[label]; !ok {
			err = c.all(it.key+label, n)
		} else if now != nil && now.sum != n.Sum() {
			err = c.gone(now, n)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// labels finds the labelled kids of a Dir; nil where they are those of the older state.
func (c *Client) labels(it *item, was *level, is map[string]*item) error {
	node, err := c.inner(it)
	if err != nil {
		return err
	}
	if node == nil {
		same := was.forks[it.sum]
		if same == nil {
			return fmt.Errorf("state sync: a node at key %x is neither here nor in the older state", it.key)
		}
		for label := range newLevel(same, math.MaxInt).kids {
			is[label] = nil
		}
		return nil
	}
	for i, k := range it.kids(node) {
		if label := node.Edges[i].Label; label != "" {
			is[label] = k
		} else if err := c.labels(k, was, is); err != nil {
			return err
		}
	}
	return nil
}

// gonePages notes the pages of an older memory that the tree has not.
func (c *Client) gonePages(it *item, node *merkle.Decoded, older merkle.Node) error {
	is := map[int]*item{}
	for i, k := range it.kids(node) {
		is[node.Edges[i].Slot] = k
	}
	switch {
	case older.Level() < node.Level: // all of the old memory is below slot 0
		if is[0] == nil {
			return c.pages(it.key, 0, older)
		}
		return c.gone(is[0], older)
	case older.Level() > node.Level: // and all of the new one there
		is = map[int]*item{0: it}
	}
	for _, k := range older.Kids() {
		now := is[k.Slot]
		var err error
		if now == nil {
			err = c.pages(it.key, it.index<<6|uint64(k.Slot), k.Node)
		} else if now.expect != aPage {
			err = c.gone(now, k.Node)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// all entries of the older state below a node are gone; a memory is as a whole.
func (c *Client) all(key string, n merkle.Node) error {
	n = made(n)
	if n.Kind() != merkle.Dir {
		return c.note(Part{Kind: Gone, Key: key})
	}
	for _, k := range n.Kids() {
		if err := c.all(key+k.Label, k.Node); err != nil {
			return err
		}
	}
	return nil
}

// pages of the older state below a node are gone.
func (c *Client) pages(key string, index uint64, n merkle.Node) error {
	if n.Kind() == merkle.Page {
		return c.note(Part{Kind: Page, Key: place(key, index)})
	}
	for _, k := range n.Kids() {
		if err := c.pages(key, index<<6|uint64(k.Slot), k.Node); err != nil {
			return err
		}
	}
	return nil
}

func (c *Client) note(p Part) error {
	if c.parts = append(c.parts, p); len(c.parts) < maxItems {
		return nil
	}
	return c.flush()
}
