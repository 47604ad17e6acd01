package node

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"

	"ashlar/replica/ic"
	"ashlar/replica/ingress"
	"ashlar/replica/wire/block"
	"ashlar/replica/wire/envelope"
)

// Net carries bytes between the members of the subnet: replica/p2p, or a
// simulated one. Nothing of it blocks, and every bound is the Net's own.
type Net interface {
	// Broadcast promises that an artifact reaches each peer that is, or comes to
	// be, connected, at some time and perhaps twice, as long as it is not purged.
	Broadcast(height ic.Height, artifact []byte)
	// Purge withdraws the artifacts below a height.
	Purge(below ic.Height)
	// Gossip offers a user's call to all peers. A peer that has no room drops it:
	// the call still reaches a block through another node.
	Gossip(call []byte)
	// Blame tells of an artifact of a peer that was refused, by its kind and why: to
	// be counted, and to slow down who sends many.
	Blame(peer ic.NodeID, what string, why error)
	// Ask a peer; Node.Answered gets what Node.Serve said there, or nil if the
	// peer did not answer, once for each id.
	Ask(peer ic.NodeID, id uint64, request []byte)
}

// The requests that a node answers its peers, by their first byte.
const (
	askArtifacts = 1 // <height, 8 bytes>: what became final from there on
	askCUP       = 2 // <height, 8 bytes>: the newest catch-up package, if it is above that
	askCalls     = 3 // <hash of a block> <indexes>...: calls of the block

	AskState = 4 // a request to a join.Source
)

// Limits between peers.
const (
	MaxRequest  = 64 << 10 // bytes
	MaxResponse = 8 << 20  // bytes: a full block, and what goes with it
	maxBundle   = 4 << 20  // bytes after which a bundle of artifacts ends
	maxSpan     = 50       // heights of one bundle; less than consensus looks ahead
)

// parcel is an artifact from a peer.
type parcel struct {
	from ic.NodeID
	data []byte
}

// Receive takes an artifact from a peer. It tells false where too many wait: the
// caller comes again, or slows that peer down.
func (n *Node) Receive(from ic.NodeID, artifact []byte) bool {
	select {
	case n.inbox <- parcel{from, artifact}:
		poke(n.kick)
		return true
	default:
		n.metrics.dropped.Add(1)
		return false
	}
}

// Hear waits until there is room for a peer's artifact.
func (n *Node) Hear(ctx context.Context, from ic.NodeID, artifact []byte) error {
	select {
	case n.inbox <- parcel{from, artifact}:
		poke(n.kick)
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Offered takes users' calls that a peer accepted: as if they came here, except
// that the canister was asked there. Errors are the peer's fault. The calls stay the
// node's.
func (n *Node) Offered(calls [][]byte) (wrong []error) {
	v := n.view.Load()
	if v == nil {
		return nil
	}
	claims, raw := make([]envelope.Claim, 0, len(calls)), make([][]byte, 0, len(calls))
	for _, call := range calls {
		c, err := n.claimed(call)
		if err != nil {
			wrong = append(wrong, err)
		} else if v.State.Status(c.Msg.ID) == nil && !n.has(c.Msg.ID) {
			claims, raw = append(claims, c), append(raw, call)
		}
	}
	errs := n.Check(claims, n.Clock.Now())
	n.mu.Lock()
	defer n.mu.Unlock()
	for i, c := range claims {
		err := errs[i]
		if err == nil {
			err = n.pool.Add(ingress.Message{ID: c.Msg.ID, Sender: c.Msg.Sender, Expiry: c.Msg.Expiry, Raw: raw[i]}, n.Clock.Now())
		}
		switch {
		case errors.Is(err, ingress.ErrFull):
			n.metrics.busy.Add(1) // we are full, which is nobody's fault
		case err != nil:
			wrong = append(wrong, err)
		default:
			poke(n.kick)
		}
	}
	return wrong
}

func (n *Node) has(id ic.RequestID) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.pool.Has(id)
}

// Serve answers a peer's request. It may be called from many goroutines; the
// caller bounds how many, and counts refusals against the peer.
func (n *Node) Serve(request []byte) ([]byte, error) {
	if len(request) == 9 {
		switch h := ic.Height(binary.BigEndian.Uint64(request[1:])); request[0] {
		case askArtifacts:
			return n.bundle(h)
		case askCUP:
			return n.newer(h)
		}
	}
	if len(request) > 1 && request[0] == askCalls {
		return n.serveCalls(request[1:])
	}
	if len(request) == 0 {
		return nil, errors.New("an empty request")
	}
	if request[0] == AskState {
		return n.serveState(request[1:])
	}
	return nil, fmt.Errorf("a request of kind %d with %d bytes", request[0], len(request))
}

// newer than a height: the newest catch-up package, empty if there is none.
func (n *Node) newer(than ic.Height) ([]byte, error) {
	n.mu.Lock()
	cup := n.newest
	n.mu.Unlock()
	if cup == nil || cup.Height <= than || len(cup.Signature) == 0 {
		return nil, nil
	}
	raw := cup.Encode()
	return append(binary.AppendUvarint(nil, uint64(len(raw))), raw...), nil
}

// bundle of what became final from a height on, for a peer that lags: the votes
// of a height before its block, so that the peer need not vote itself.
func (n *Node) bundle(from ic.Height) ([]byte, error) {
	var out []byte
	var last []*block.Artifact // proposals of height at
	at := from
	put := func(a *block.Artifact) bool {
		raw := a.Encode()
		if len(out) > 0 && len(out)+len(raw) > maxBundle {
			return false
		}
		out = append(binary.AppendUvarint(out, uint64(len(raw))), raw...)
		return true
	}
	next := func() bool {
		for _, a := range last {
			if !put(a) {
				return false
			}
		}
		last = nil
		return true
	}
	if from > ^ic.Height(0)-maxSpan {
		return nil, nil
	}
	err := n.Store.EachArtifact(from, from+maxSpan, func(a *block.Artifact) bool {
		if a.Height != at && !next() {
			return false
		}
		at = a.Height
		switch {
		case a.Kind == block.Proposal:
			last = append(last, a)
		case !a.Kind.Signed(): // else one node's part of what is whole by now
			return put(a)
		}
		return true
	})
	next()
	return out, err
}

// unbundle reads what bundle made.
func unbundle(data []byte) (out []*block.Artifact, err error) {
	for len(data) > 0 {
		size, k := binary.Uvarint(data)
		if k <= 0 || size > uint64(len(data)-k) {
			return out, errors.New("a bundle of artifacts ends inside one")
		}
		a, err := block.Decode(data[k : k+int(size)])
		if err != nil {
			return out, err
		}
		out, data = append(out, a), data[k+int(size):]
	}
	return out, nil
}

// answer is what a peer said to a question.
type answer struct {
	from ic.NodeID
	id   uint64
	data []byte
}

// Answered brings the answer to a question of Net.Ask, nil if there is none.
func (n *Node) Answered(from ic.NodeID, id uint64, response []byte) {
	if id&stateIDs != 0 {
		n.fetch.Answered(from, id&^stateIDs, response)
		return
	}
	n.mu.Lock()
	if a := (answer{from, id, response}); id&draftAsk != 0 { // no more than were asked
		n.callAnswers = append(n.callAnswers, a)
	} else {
		n.answers = append(n.answers, a)
	}
	n.mu.Unlock()
	poke(n.kick)
}
