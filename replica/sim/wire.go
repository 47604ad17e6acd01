package sim

import (
	"slices"
	"time"

	"ashlar/replica/ic"
	"ashlar/replica/node"
	"ashlar/replica/wire/block"
)

// Spans of the network.
const (
	again     = 150 * time.Millisecond // until a lost message is sent again
	reconnect = 300 * time.Millisecond // until two nodes that can reach each other again notice it
)

// wire connects all peers. It keeps the promise of the real network: what a node
// sent, and has not purged, arrives at every peer that it is connected to, at
// some time, perhaps twice, in no order. A cut connection is like a slow one, except that
// all that is left is sent again when it is back.
type wire struct {
	w        *world
	cut      [][]int // how many cuts hold between from and to
	out      []*outbox
	messages int
	bytes    int
}

// outbox is what one peer has to say.
type outbox struct{ parcels []*parcel }

// parcel is a message to all, or one, and who has it.
type parcel struct {
	height ic.Height
	data   []byte
	block  *block.Artifact // that a proposal tells; nil: none
	to     int             // -1: all
	got    []bool
	gone   bool
}

func newWire(w *world) *wire {
	n := &wire{w: w}
	for range w.Nodes {
		n.cut = append(n.cut, make([]int, w.Nodes))
		n.out = append(n.out, &outbox{})
	}
	return n
}

// broadcast to all peers of p.
func (n *wire) broadcast(p *peer, data []byte) { n.post(p, -1, data) }

// post to one peer, or all.
func (n *wire) post(p *peer, to int, data []byte) {
	m := &parcel{data: data, to: to, got: make([]bool, n.w.Nodes)}
	if a, err := heard(data); err == nil {
		if m.height = a.Height; a.Kind == block.Proposal && !block.IsOutline(data) {
			m.block = a
		}
	}
	box := n.out[p.index]
	box.parcels = append(box.parcels, m)
	for i := range n.w.peers {
		if i != p.index && (to < 0 || to == i) {
			n.send(p, i, m)
		}
	}
}

// send a parcel on its way; it leaves when the sender's step has ended.
func (n *wire) send(from *peer, to int, m *parcel) {
	delay := max(from.free-n.w.now, 0) + n.w.Delay + n.w.span(0, n.w.Jitter)
	for n.w.percent(n.w.lost) {
		delay += again + n.w.span(0, again)
	}
	copies := 1
	if n.w.percent(n.w.Twice) {
		copies = 2
	}
	life := from.life
	for range copies {
		n.w.after(delay, func() { n.arrive(from, life, to, m) })
		delay += n.w.span(0, again)
	}
}

func (n *wire) arrive(from *peer, life, to int, m *parcel) {
	p := n.w.peers[to]
	if m.gone || from.life != life || p.node == nil || n.cut[from.index][to] > 0 {
		return
	}
	if p.inbox >= maxInbox {
		n.w.after(10*time.Millisecond, func() { n.arrive(from, life, to, m) })
		return
	}
	m.got[to] = true
	n.messages++
	n.bytes += len(m.data)
	n.w.note('m', from.index, to, uint64(len(m.data)))
	p.take(from, m)
}

// reach calls then after the way of some bytes from one node to another, unless
// they are lost on the way: then lost, after a while.
func (n *wire) reach(from, to *peer, size int, then, lost func()) {
	life, target := from.life, to.life
	gone := n.w.percent(n.w.lost)
	n.w.after(max(from.free-n.w.now, 0)+n.w.Delay+n.w.span(0, n.w.Jitter), func() {
		if gone || from.life != life || to.life != target || to.node == nil || n.cut[from.index][to.index] > 0 {
			n.w.after(again, lost)
			return
		}
		n.messages++
		n.bytes += size
		n.w.note('m', from.index, to.index, uint64(size))
		then()
	})
}

// gossip a call to all peers; some do not get it.
func (n *wire) gossip(from *peer, call []byte) {
	for _, to := range n.w.peers {
		if to == from || to.node == nil {
			continue
		}
		n.reach(from, to, len(call), func() {
			if len(to.node.Offered([][]byte{call})) == 0 {
				to.planStep(n.w.now)
			}
		}, func() {})
	}
}

// ask a peer; the asker is told when nothing comes back.
func (n *wire) ask(from *peer, name ic.NodeID, id uint64, request []byte) {
	to := n.w.peers[n.w.ids.index(name)]
	life := from.life
	told := func(data []byte) func() {
		return func() {
			if from.life == life && from.node != nil {
				from.node.Answered(name, id, data)
				if request[0] == node.AskState {
					from.planFetch()
					from.fetched(len(data))
					return
				}
				from.planStep(n.w.now)
			}
		}
	}
	n.reach(from, to, len(request), func() {
		response, err := to.serve(request)
		if err != nil {
			n.w.fail(violated("node %d refuses what node %d asks: %v", to.index, from.index, err))
		}
		n.reach(to, from, len(response), told(response), told(nil))
	}, told(nil))
}

// serve what a peer asks for; a liar makes something up.
func (p *peer) serve(request []byte) ([]byte, error) {
	response, err := p.node.Serve(request)
	if p.byzantine() && request[0] == node.AskState {
		return p.liar.falseState(response), err
	}
	if p.byzantine() && len(response) > 0 {
		if forged := p.liar.forgeCUP(response); forged != nil {
			return forged, err
		}
		response = response[:p.w.rng.IntN(len(response))]
	}
	return response, err
}

// take a message from a peer.
func (p *peer) take(from *peer, m *parcel) {
	p.inbox++
	if p.byzantine() {
		p.liar.hear(m.data)
	} else if m.block != nil { // by its outline a block is not known before all its calls are
		p.said.told = append(p.said.told, m.block)
	}
	p.node.Receive(p.w.ids.public[from.index].Node, m.data)
	p.planStep(p.w.now)
}

// purge what p's peers need no more.
func (n *wire) purge(p *peer, below ic.Height) {
	box := n.out[p.index]
	box.parcels = slices.DeleteFunc(box.parcels, func(m *parcel) bool {
		m.gone = m.height < below
		return m.gone
	})
}

// connect a peer that started: all say again what is left.
func (n *wire) connect(p *peer) {
	for i, q := range n.w.peers {
		if i == p.index || q.node == nil {
			continue
		}
		for _, m := range n.out[i].parcels {
			m.got[p.index] = false
		}
		n.resend(q, p.index)
	}
}

// disconnect a peer that is down: what it said and nobody got is lost.
func (n *wire) disconnect(p *peer) { n.out[p.index].parcels = nil }

// resend what a peer has not got.
func (n *wire) resend(from *peer, to int) {
	life, target := from.life, n.w.peers[to].life
	n.w.after(n.w.span(0, reconnect), func() {
		if from.life != life || n.w.peers[to].life != target {
			return
		}
		for _, m := range n.out[from.index].parcels {
			if !m.got[to] && (m.to < 0 || m.to == to) {
				n.send(from, to, m)
			}
		}
	})
}

// block the way from some to others.
func (n *wire) block(from, to []int) {
	for _, i := range from {
		for _, j := range to {
			if i != j {
				n.cut[i][j]++
			}
		}
	}
}

// heal all cuts.
func (n *wire) heal() {
	for i := range n.cut {
		for j := range n.cut[i] {
			if n.cut[i][j] > 0 {
				n.cut[i][j] = 0
				if n.w.peers[i].node != nil {
					n.resend(n.w.peers[i], j)
				}
			}
		}
	}
}
