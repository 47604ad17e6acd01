package sync

import "ashlar/replica/ic"

// peer is where answers come from.
type peer struct {
	id     ic.NodeID
	out    int
	answer int     // bytes that it is asked for at a time
	until  ic.Time // when it may be asked again
	lacks  bool    // it had no such state
	vain   int     // questions in a row without an answer
	faults int
}

// silent peers are asked again, less and less often.
func (p *peer) silent(now ic.Time) {
	p.until = now + min(firstPause<<min(p.vain, 10), lastPause)
	p.vain++
}

func (p *peer) lied(now ic.Time) {
	p.until = now + min(faultPause<<min(p.faults, 10), lastFault)
	p.faults++
}

func (p *peer) helped(now ic.Time, r *request) {
	p.vain, p.lacks = 0, false
	if now < r.asked+patience/4 {
		p.answer = min(2*p.answer, MaxAnswer)
	}
}

// SetPeers says who may be asked from now on; what is known of a peer stays.
func (c *Client) SetPeers(ids []ic.NodeID) {
	var peers []*peer
	for _, id := range ids {
		p := &peer{id: id, answer: firstAnswer}
		for _, known := range c.peers {
			if known.id == id {
				p = known
			}
		}
		peers = append(peers, p)
	}
	c.peers = peers
}

// Peers that may be asked.
func (c *Client) Peers() (ids []ic.NodeID) {
	for _, p := range c.peers {
		ids = append(ids, p.id)
	}
	return ids
}

// Ask is a request to be sent.
type Ask struct {
	Peer    ic.NodeID
	ID      uint64
	Request []byte
}

// Next are the requests to be sent now. What was asked of a peer long ago is asked
// of another.
func (c *Client) Next(now ic.Time) (out []Ask, err error) {
	waited := 0
	for _, r := range c.requests {
		if !r.late && now >= r.asked+patience {
			r.late = true
			r.peer.answer = max(r.peer.answer/2, minAnswer)
			c.put(r.items)
			c.progress.Late++
		}
		if !r.late {
			waited++
		}
	}
	if c.next != nil && !c.done {
		if waited > 0 {
			return nil, nil
		}
		if err := c.move(); err != nil {
			return nil, err
		}
	}
	for !c.done && len(c.waiting) > 0 && len(c.requests) < maxRequests {
		p := c.pick(now)
		if p == nil {
			break
		}
		out = append(out, c.ask(now, p))
	}
	return out, nil
}

// pick the peer that has least to do.
func (c *Client) pick(now ic.Time) (best *peer) {
	for _, p := range c.peers {
		if p.out < window && now >= p.until && (best == nil || p.out < best.out) {
			best = p
		}
	}
	return best
}

func (c *Client) ask(now ic.Time, p *peer) Ask {
	q := Request{Root: c.root, Budget: p.answer}
	c.lastID++
	r := &request{id: c.lastID, peer: p, asked: now, size: p.answer}
	most, size, expected := maxItems, 0, 0
	if len(c.waiting) > manyWaiting {
		most = fewItems
	}
	for len(c.waiting) > 0 && len(r.items) < most && size < maxRequest {
		it := c.waiting[len(c.waiting)-1]
		w := Want{Path: it.path(), Depth: c.depth(it)}
		if e := it.estimate(w.Depth); len(r.items) > 0 && expected+e > p.answer {
			break
		} else {
			expected += e
		}
		size += len(w.Path) + 8
		c.waiting = c.waiting[:len(c.waiting)-1]
		q.Items = append(q.Items, w)
		r.items = append(r.items, due{it, it.sum, w.Depth})
	}
	for i, j := 0, len(r.items)-1; i < j; i, j = i+1, j-1 { // a stack: the first one is due first
		r.items[i], r.items[j] = r.items[j], r.items[i]
	}
	p.out++
	c.requests = append(c.requests, r)
	c.progress.Asked++
	return Ask{p.id, r.id, q.Encode()}
}

// depth is how much of what is below is wanted: all, unless some of it may be here.
func (c *Client) depth(it *item) int {
	switch {
	case !c.careful && !it.near.known():
		return wholeSubtree
	case it.expect == anything:
		return carefulDepth
	}
	return 0
}

// WakeAt is when Next has something to do though nothing came; 0: never.
func (c *Client) WakeAt(now ic.Time) (at ic.Time) {
	sooner := func(t ic.Time) {
		if at == 0 || t < at {
			at = t
		}
	}
	if c.done {
		return 0
	}
	for _, r := range c.requests {
		if !r.late {
			sooner(r.asked + patience)
		}
	}
	for _, p := range c.peers {
		if len(c.waiting) > 0 && p.out < window && p.until > now {
			sooner(p.until)
		}
	}
	return at
}

// Lacking tells whether no peer that answers has the target: a newer one is needed.
func (c *Client) Lacking() bool {
	if c.done || len(c.requests) > 0 {
		return false
	}
	for _, p := range c.peers {
		if p.lacks {
			return true
		}
	}
	return false
}
