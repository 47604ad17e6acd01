package node

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"ashlar/replica/consensus"
	"ashlar/replica/ic"
	"ashlar/replica/wire/block"
)

// Users' calls reach all pools before a block has them, so a large block is
// proposed by their hashes.
//
//	proposal ──> outline ──> peer: a draft ── all in its pool? ──> proposal, to be judged
//	                              └── missing after a moment: Ask who sent it, then the others
//
// Consensus knows nothing of it, and what is stored is whole.

// Limits of drafts.
const (
	wholeBytes = 16 << 10 // of calls that go out with their block: asking for one takes longer
	maxDrafts  = 32       // of one peer; consensus goes on without us before there are as many
	keepBlocks = 32       // heights of which blocks are kept to serve their calls; who lags more asks for all
)

// Spans of time.
const (
	draftGrace ic.Time = 10 * 1e6  // until missing calls are asked for: they are on their way, or being checked
	draftAgain ic.Time = 500 * 1e6 // until another peer is asked as well
	draftByte  ic.Time = 100       // the same for each byte of calls, which take their time on the line: 10 MB/s
)

// draftAsk marks the questions of drafts among all that Net carries.
const draftAsk = 1 << 63

// draft is a proposal of which calls are missing.
type draft struct {
	*block.Outline
	hash    block.Hash
	from    ic.NodeID
	calls   [][]byte // nil: missing
	missing int
	next    ic.Time // when to ask
	asks    int
}

// drafts wait for their calls. They belong to the goroutine of Step.
type drafts struct {
	list  []*draft
	asked uint64
	out   map[uint64]question
}

// question is out for the calls of a block.
type question struct {
	block   block.Hash
	indexes []int
	calls   []block.Hash
}

// encode an artifact for peers: a proposal with many bytes of calls as an outline.
func (n *Node) encode(a *block.Artifact) []byte {
	if a.Kind != block.Proposal {
		return a.Encode()
	}
	n.keepBlock(a)
	size := 0
	for _, raw := range a.Block.Ingress {
		size += len(raw)
	}
	if size <= n.Whole {
		return a.Encode()
	}
	return block.OutlineOf(a).Encode()
}

// keepBlock serves a block's calls to peers, as long as it is new.
func (n *Node) keepBlock(a *block.Artifact) {
	if len(a.Block.Ingress) == 0 {
		return
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.blocks[a.Hash] = a.Block
	for h, b := range n.blocks {
		if b.Height+keepBlocks < a.Height {
			delete(n.blocks, h)
		}
	}
}

// draft an outline that a peer sent.
func (n *Node) draft(from ic.NodeID, data []byte) error {
	o, err := block.DecodeOutline(data)
	if err != nil {
		return err
	}
	n.pull.heard(from, o.Height())
	ds := &n.drafts
	d := &draft{Outline: o, hash: o.Hash(), from: from, calls: make([][]byte, len(o.Calls)), missing: len(o.Calls), next: n.Clock.Now() + draftGrace + draftByte*ic.Time(o.Bytes)}
	of, first := 0, -1
	for i, other := range ds.list {
		if other.hash == d.hash {
			return nil
		}
		if other.from == from {
			if of++; first < 0 {
				first = i
			}
		}
	}
	if of >= maxDrafts {
		ds.list = slices.Delete(ds.list, first, first+1)
	}
	ds.list = append(ds.list, d)
	return nil
}

// drafted are the proposals that are whole by now; for others it asks.
func (n *Node) drafted() (out []consensus.Event) {
	n.callsAnswered()
	ds := &n.drafts
	if len(ds.list) == 0 {
		return nil
	}
	now, here := n.Clock.Now(), n.height()
	n.mu.Lock()
	for _, d := range ds.list {
		for i, raw := range d.calls {
			if raw == nil {
				if d.calls[i] = n.pool.Find(d.Calls[i]); d.calls[i] != nil {
					d.missing--
				}
			}
		}
	}
	n.mu.Unlock()
	ds.list = slices.DeleteFunc(ds.list, func(d *draft) bool {
		if d.missing == 0 {
			out = append(out, consensus.Received{Artifact: d.Fill(d.calls), From: d.from})
		}
		return d.missing == 0 || d.Height() <= here
	})
	for _, d := range ds.list {
		if now >= d.next {
			n.askCalls(d, now)
		}
	}
	return out
}

// askCalls of who sent the draft, then of one peer after the other.
func (n *Node) askCalls(d *draft, now ic.Time) {
	d.next = now + draftAgain + draftByte*ic.Time(d.Bytes)
	peer := d.from
	if d.asks > 0 {
		others := inOrder(n.pull.ahead(0))
		peer = others[d.asks%len(others)]
	}
	d.asks++
	q := question{block: d.hash}
	request := append([]byte{askCalls}, d.hash[:]...)
	for i, raw := range d.calls {
		if raw == nil {
			q.indexes, q.calls = append(q.indexes, i), append(q.calls, d.Calls[i])
			request = binary.AppendUvarint(request, uint64(i))
		}
	}
	ds := &n.drafts
	ds.asked++
	id := ds.asked | draftAsk
	if ds.out == nil {
		ds.out = map[uint64]question{}
	}
	ds.out[id] = q
	n.Net.Ask(peer, id, request)
}

// callsAnswered puts what peers answered into the drafts.
func (n *Node) callsAnswered() {
	n.mu.Lock()
	answers := n.callAnswers
	n.callAnswers = nil
	n.mu.Unlock()
	for _, a := range answers {
		q, ok := n.drafts.out[a.id]
		delete(n.drafts.out, a.id)
		if !ok {
			continue
		}
		calls, err := readCalls(a.data, q.calls)
		if err != nil {
			n.blame(a.from, "answer", err)
		}
		n.metrics.fetched.Add(uint64(len(calls)))
		for _, d := range n.drafts.list {
			if d.hash != q.block {
				continue
			}
			for k, raw := range calls {
				if i := q.indexes[k]; d.calls[i] == nil {
					d.calls[i] = raw
					d.missing--
				}
			}
			if d.missing > 0 {
				d.next = n.Clock.Now() // the next peer may have the rest
				if d.asks >= 2*len(n.pull.seen) {
					d.next += draftAgain
				}
			}
		}
	}
}

// draftWake is when a draft wants a Step; 0: none does.
func (n *Node) draftWake() (at ic.Time) {
	for _, d := range n.drafts.list {
		if at == 0 || d.next < at {
			at = d.next
		}
	}
	return at
}

// serveCalls answers for calls of a block by their indexes: as many as fit.
func (n *Node) serveCalls(request []byte) ([]byte, error) {
	var h block.Hash
	if len(request) < len(h) {
		return nil, errors.New("a request for calls that names no block")
	}
	request = request[copy(h[:], request):]
	n.mu.Lock()
	b := n.blocks[h]
	n.mu.Unlock()
	var out []byte
	for last := -1; len(request) > 0; {
		i, size := binary.Uvarint(request)
		if size <= 0 || i >= block.MaxIngressMessages || int(i) <= last {
			return nil, errors.New("a request for calls that are not in order")
		}
		request, last = request[size:], int(i)
		if b == nil {
			continue // purged, or never seen
		}
		if int(i) >= len(b.Ingress) {
			return nil, fmt.Errorf("a request for call %d of a block with %d", i, len(b.Ingress))
		}
		raw := b.Ingress[i]
		if len(out)+len(raw)+binary.MaxVarintLen32 > MaxResponse {
			break
		}
		out = append(binary.AppendUvarint(out, uint64(len(raw))), raw...)
	}
	return out, nil
}

// readCalls reads what serveCalls wrote: the first ones of those wanted.
func readCalls(data []byte, wanted []block.Hash) (out [][]byte, err error) {
	for len(data) > 0 {
		size, k := binary.Uvarint(data)
		if k <= 0 || size > uint64(len(data)-k) {
			return out, errors.New("calls of a block end inside one")
		}
		raw := data[k : k+int(size) : k+int(size)]
		if len(out) == len(wanted) || block.CallHash(raw) != wanted[len(out)] {
			return out, errors.New("a call of a block that is not the one asked for")
		}
		out, data = append(out, raw), data[k+int(size):]
	}
	return out, nil
}
