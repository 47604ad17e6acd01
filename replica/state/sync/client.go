package sync

import (
	"crypto/sha256"
	"errors"
	"fmt"

	"ashlar/replica/ic"
	"ashlar/replica/state/merkle"
)

// Config of a Client.
type Config struct {
	Stage Stage
	// Older is the node's own state, from which equal parts are taken; nil: none. The
	// Stage's entries are to be put over it.
	Older merkle.Node
	// Resumed says that the Stage has parts from before a crash.
	Resumed bool
}

// Client fetches one state. The caller sends what Next says, and passes on what
// comes back.
type Client struct {
	cfg  Config
	root Sum
	next *Sum // target to move to once all that was asked for has come

	waiting []*item // to be asked for; the last one first
	kept    map[string][]byte
	careful bool // some of what is missing may be in the Stage
	done    bool
	parts   []Part // verified, not Put yet

	peers    []*peer
	requests []*request // that are out, in order
	lastID   uint64
	progress Progress
}

// request that is out.
type request struct {
	id    uint64
	peer  *peer
	items []due
	asked ic.Time
	size  int  // bytes that the answer may have
	late  bool // its items were given to others
}

// due is a node that an answer has to bring.
type due struct {
	it    *item // nil: it is here already
	sum   Sum
	depth int
}

// New makes a client without a target and peers.
func New(cfg Config) *Client {
	c := &Client{cfg: cfg, careful: cfg.Resumed, kept: map[string][]byte{}}
	c.progress.Faults = map[ic.NodeID]uint64{}
	return c
}

// Target sets the root to be reached, or moves to a newer one: what is out is
// waited for, and every verified node that is also in the new tree is kept.
func (c *Client) Target(root Sum) error {
	switch {
	case c.progress.Targets > 0 && (root == c.root || c.done):
		c.next = nil
	case c.progress.Targets > 0:
		c.next = &root
	default:
		return c.begin(root)
	}
	return nil
}

func (c *Client) begin(root Sum) error {
	c.root, c.next, c.waiting = root, nil, nil
	c.progress.Root = root
	c.progress.Targets++
	top := &item{sum: root, near: near{node: c.cfg.Older}}
	if c.cfg.Older != nil && c.cfg.Older.Sum() == root {
		c.done = true
		return nil
	}
	has, err := c.here(top)
	if err != nil {
		return err
	}
	if has {
		c.done = true
		return nil
	}
	if err := c.look(top); err != nil {
		return err
	}
	return c.flush()
}

// move to the next target, with the nodes that wait for what is below them.
func (c *Client) move() error {
	if len(c.kept) > maxKept {
		clear(c.kept)
	}
	for _, it := range c.waiting {
		for up := it.up; up != nil && up.raw != nil; up = up.up {
			place := up.place() + string(up.sum[:])
			if c.kept[place] != nil {
				break
			}
			c.kept[place] = up.raw
		}
	}
	c.careful = true
	for _, p := range c.peers {
		p.lacks = false
	}
	return c.begin(*c.next)
}

// Done tells whether all of the target is here; then Finish.
func (c *Client) Done() bool { return c.done }

// Root is the target.
func (c *Client) Root() Sum { return c.root }

// Progress so far.
func (c *Client) Progress() Progress {
	p := c.progress
	p.Waiting = len(c.waiting)
	return p
}

// Fault is what a peer did that only a faulty one does.
type Fault struct {
	Peer ic.NodeID
	Why  error
}

// Answered takes the answer to a question, nil for none. A fault is its peer's; an
// error is the Stage's, and ends the sync.
func (c *Client) Answered(now ic.Time, from ic.NodeID, id uint64, answer []byte) (*Fault, error) {
	r := c.take(from, id)
	if r == nil {
		return nil, nil
	}
	p := r.peer
	p.out--
	if r.late {
		c.progress.Stale += uint64(len(answer))
		return nil, nil
	}
	c.progress.Fetched += uint64(len(answer))
	if len(answer) == 0 {
		c.put(r.items)
		p.silent(now)
		return nil, nil
	}
	if len(answer) == 1 && answer[0] == lacks {
		c.put(r.items)
		p.lacks, p.until = true, now+lackPause
		return nil, nil
	}
	why, err := c.read(r, answer)
	if err != nil {
		return nil, err
	}
	if err := c.flush(); err != nil {
		return nil, err
	}
	if why != nil {
		p.lied(now)
		c.progress.Faults[p.id]++
		return &Fault{p.id, why}, nil
	}
	p.helped(now, r)
	return nil, nil
}

func (c *Client) take(from ic.NodeID, id uint64) *request {
	for i, r := range c.requests {
		if r.id == id && r.peer.id == from {
			c.requests = append(c.requests[:i], c.requests[i+1:]...)
			return r
		}
	}
	return nil
}

// put back what an answer did not bring.
func (c *Client) put(items []due) {
	for _, d := range items {
		if d.it != nil {
			c.waiting = append(c.waiting, d.it)
		}
	}
}

// read an answer; why is what was wrong with it. What was verified before is kept.
func (c *Client) read(r *request, answer []byte) (why, err error) {
	stack := r.items
	defer func() { c.put(stack) }()
	if answer[0] != here || len(answer) == 1 {
		return errors.New("an answer to state sync that says nothing"), nil
	}
	if len(answer) > r.size+merkle.MaxEncoding {
		return fmt.Errorf("an answer to state sync of %d bytes, %d were asked for", len(answer), r.size), nil
	}
	for rest := answer[1:]; len(rest) > 0; {
		if len(stack) == 0 {
			return errors.New("an answer to state sync with more than was asked for"), nil
		}
		var raw []byte
		if raw, rest, why = split(rest); why != nil {
			return fmt.Errorf("an answer to state sync that is cut: %w", why), nil
		}
		d := stack[len(stack)-1]
		if sha256.Sum256(raw) != d.sum {
			return fmt.Errorf("an answer to state sync with a node that the certified root does not vouch for, %d bytes in place of %x%s", len(raw), d.sum[:8], d.it.where()), nil
		}
		node, why := merkle.Decode(raw)
		if why != nil {
			return fmt.Errorf("an answer to state sync: %w", why), nil
		}
		c.progress.Nodes++
		stack = stack[:len(stack)-1]
		kids, err := c.open(d, &node, raw)
		if err != nil {
			return nil, err
		}
		stack = append(stack, kids...)
	}
	return nil, nil
}

func (it *item) where() string {
	if it == nil {
		return ""
	}
	return fmt.Sprintf(" at key %x", it.key)
}

// open a node that came. It returns what the answer goes on with, the first last.
func (c *Client) open(d due, node *merkle.Decoded, raw []byte) (next []due, err error) {
	kids := make([]*item, len(node.Edges)) // nil where it is here already
	if d.it != nil {
		if kids, err = c.enter(d.it, node, raw); err != nil {
			return nil, err
		}
	}
	for i := len(node.Edges) - 1; i >= 0; i-- {
		if d.depth > 0 {
			next = append(next, due{kids[i], node.Edges[i].Sum, d.depth - 1})
		} else if kids[i] != nil {
			if err := c.look(kids[i]); err != nil {
				return nil, err
			}
		}
	}
	return next, nil
}

// enter what a verified node holds, or wait for what is below it.
func (c *Client) enter(it *item, node *merkle.Decoded, raw []byte) ([]*item, error) {
	switch {
	case node.Kind == merkle.Value && it.expect == aPiece:
		c.parts = append(c.parts, Part{Piece, piece(it.key, it.up.sum, it.slot), it.sum, node.Content})
		return nil, c.completed(it)
	case node.Kind == merkle.Value:
		c.parts = append(c.parts, Part{Entry, it.key, it.sum, node.Content})
		return nil, c.completed(it)
	case node.Kind == merkle.Page:
		c.parts = append(c.parts, Part{Page, it.place(), it.sum, node.Content})
		return nil, c.completed(it)
	}
	it.raw = append([]byte(nil), raw...) // the answer is large and goes
	kids := it.kids(node)
	older := it.near.open(node)
	for i, k := range kids {
		var same bool
		if k.near, same = older.kid(node, &node.Edges[i]); same {
			c.progress.Kept++
			kids[i] = nil
		} else if here, err := c.here(k); err != nil {
			return nil, err
		} else if here {
			c.progress.Kept++
			kids[i] = nil
		} else {
			it.missing++
		}
	}
	it.near = near{}
	if it.missing == 0 {
		return kids, c.completed(it)
	}
	return kids, nil
}

// kids of an inner node.
func (it *item) kids(node *merkle.Decoded) []*item {
	kids := make([]*item, len(node.Edges))
	for i, e := range node.Edges {
		k := &item{up: it, at: i, sum: e.Sum, key: it.key + e.Label}
		switch {
		case node.Kind == merkle.Long:
			k.expect, k.slot = aPiece, e.Slot
		case node.Kind == merkle.Pages:
			k.index = it.index<<6 | uint64(e.Slot)
			k.expect = [...]expect{aPage, aBlock, somePages}[min(node.Level, 2)]
		}
		kids[i] = k
	}
	it.long = node.Kind == merkle.Long
	return kids
}

// here tells whether all of a node is in the Stage.
func (c *Client) here(it *item) (bool, error) {
	if !c.careful {
		return false, nil
	}
	switch it.expect {
	case aPage:
		return c.cfg.Stage.Has(Page, it.place(), it.sum)
	case aPiece:
		return c.cfg.Stage.Has(Piece, piece(it.key, it.up.sum, it.slot), it.sum)
	}
	if has, err := c.cfg.Stage.Has(Inner, it.place(), it.sum); has || err != nil || it.expect != anything {
		return has, err
	}
	return c.cfg.Stage.Has(Entry, it.key, it.sum)
}

// look for a node among those of an earlier target that waited for what is below
// them, or have it asked for.
func (c *Client) look(it *item) error {
	place := it.place() + string(it.sum[:])
	raw := c.kept[place]
	if raw == nil {
		c.waiting = append(c.waiting, it)
		return nil
	}
	delete(c.kept, place)
	node, err := merkle.Decode(raw)
	if err != nil {
		return err // it was decoded before
	}
	kids, err := c.enter(it, &node, raw)
	for i := len(kids) - 1; i >= 0 && err == nil; i-- {
		if kids[i] != nil {
			err = c.look(kids[i])
		}
	}
	return err
}

// completed is told of a node all below which is here, and marks it, and those
// above that waited for it alone.
func (c *Client) completed(it *item) error {
	for {
		switch {
		case it.long:
			if err := c.join(it); err != nil {
				return err
			}
		case it.raw != nil:
			c.parts = append(c.parts, Part{Inner, it.place(), it.sum, it.raw})
		}
		it.raw = nil
		if it = it.up; it == nil {
			c.done = true
			return nil
		}
		if it.missing--; it.missing > 0 {
			return nil
		}
	}
}

// join the pieces of a Long to the entry that it is.
func (c *Client) join(it *item) error {
	node, err := merkle.Decode(it.raw)
	if err != nil {
		return err
	}
	if err := c.flush(); err != nil {
		return err
	}
	whole := make([]byte, 0, node.Bytes)
	for i, e := range node.Edges {
		p, ok, err := c.cfg.Stage.Get(Piece, piece(it.key, it.sum, i), e.Sum)
		if err != nil {
			return err
		}
		if !ok {
			return fmt.Errorf("state sync: piece %d of key %x is not where it was put", i, it.key)
		}
		whole = append(whole, p...)
	}
	c.parts = append(c.parts, Part{Entry, it.key, it.sum, whole})
	return nil
}

// flush verified parts to the Stage.
func (c *Client) flush() error {
	if len(c.parts) == 0 {
		return nil
	}
	err := c.cfg.Stage.Put(c.parts)
	clear(c.parts)
	c.parts = c.parts[:0]
	return err
}
