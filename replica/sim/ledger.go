package sim

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"

	"ashlar/replica/ic"
	"ashlar/replica/messaging"
	"ashlar/replica/node"
	"ashlar/replica/state"
	"ashlar/replica/state/pages"
)

// The ledger's accounts are canisters without code; their balances are cycles.
const (
	accounts = 8
	endowed  = 1_000_000

	memoryBytes = 500 << 30
)

func account(n byte) ic.CanisterID { return ic.CanisterIDFromUint64(uint64(n % accounts)) }

// ledger is a state machine that is fast: each call moves cycles from one
// account to another, and is answered with the count of all calls before it.
// Queries are not played: nothing asks.
type ledger struct {
	node.Machine
	pages int // of the first account's memory; each batch changes one
	drawn map[scribbled]pages.Page
}

func newLedger(pagesOf int) ledger { return ledger{pages: pagesOf, drawn: map[scribbled]pages.Page{}} }

func (l ledger) machine(*peer) node.Machine { return l }

func (ledger) call(r *rand.Rand, nonce uint64, expiry ic.Time) (*ic.Ingress, []byte) {
	return transferCall(byte(r.IntN(3)), byte(r.IntN(accounts)), byte(r.IntN(accounts)), uint32(r.IntN(endowed/20)), nonce, expiry)
}

func (ledger) parse(raw []byte) (*ic.Ingress, error) { return parseTransfer(raw) }

func (ledger) minted(*state.State) ic.Cycles { return ic.NewCycles(accounts * endowed) }

func (ledger) audit(*state.State) error { return nil }

func (ledger) rests() bool { return true }

// scribbled is what a page of the first account's memory is made from. All nodes have the
// same ones, drawn once.
type scribbled struct{ height, index uint64 }

// Apply is deterministic.
func (l ledger) Apply(s *state.State, b *messaging.Batch) *state.State {
	d := s.Draft()
	d.Head.Height, d.Head.Time, d.Head.Registry = b.Height, max(b.Time, s.Time()), b.RegistryVersion
	if now := d.Subnet(); !slices.EqualFunc(now.Nodes, b.Members, func(x, y state.Node) bool { return x.ID == y.ID }) || !slices.Equal(now.Admins, b.Admins) {
		next := *now
		next.Nodes, next.Admins = b.Members, b.Admins
		d.SetSubnet(&next)
	}
	d.Forget(d.Head.Time)
	if d.NumCanisters() == 0 {
		for i := range byte(accounts) {
			d.Put(&state.Canister{ID: account(i), Memory: &state.Memory{}, Record: state.Record{Run: state.Running, Cycles: ic.NewCycles(endowed), Created: b.Time, Charged: b.Time}})
		}
	}
	for i := range b.Ingress {
		transfer(d, &b.Ingress[i])
	}
	if l.pages > 0 {
		l.scribble(d, uint64(b.Height))
	}
	return d.Seal()
}

// scribble on a page, or on all of them at the beginning.
func (l ledger) scribble(d *state.Draft, height uint64) {
	c := *d.Canister(account(0))
	var changes []pages.Change
	for i := range uint64(l.pages) {
		if c.HeapBytes > 0 && i != height%uint64(l.pages) {
			continue
		}
		changes = append(changes, pages.Change{Index: i, Page: l.draw(scribbled{height, i})})
	}
	m := *c.Memory
	m.Heap = m.Heap.With(uint64(l.pages)*pages.Size, changes)
	c.Memory, c.HeapBytes = &m, uint64(l.pages)*pages.Size
	d.Put(&c)
}

func (l ledger) draw(of scribbled) pages.Page {
	if p := l.drawn[of]; p != nil {
		return p
	}
	p := new([pages.Size]byte)
	for at := 0; at < len(p); at += sha256.Size {
		h := sha256.Sum256(binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint64(nil, of.height), of.index<<16|uint64(at)))
		copy(p[at:], h[:])
	}
	l.drawn[of] = p
	return p
}

func transfer(d *state.Draft, msg *ic.Ingress) {
	if d.Call(msg.ID) != nil {
		return
	}
	d.Head.Updates++
	from, amount := *d.Canister(msg.Canister), ic.NewCycles(uint64(binary.BigEndian.Uint32(msg.Arg[1:])))
	if left, ok := from.Cycles.Sub(amount); ok {
		from.Cycles = left
		d.Put(&from)
		to := *d.Canister(account(msg.Arg[0]))
		to.Cycles = to.Cycles.Add(amount)
		d.Put(&to)
	}
	remember(d, msg)
	d.SetCall(msg.ID, &state.Call{State: state.Replied, Reply: fmt.Appendf(nil, "%d", d.Head.Updates),
		Sender: msg.Sender, Effective: msg.Effective, Expiry: msg.Expiry, Updated: d.Head.Time, Callee: msg.Canister})
}

// remember writes into the account's memories, so that there are pages to keep: a
// page or a few, now and then what another account has, now and then nothing.
func remember(d *state.Draft, msg *ic.Ingress) {
	c := *d.Canister(msg.Canister)
	m := *c.Memory
	at := uint64(binary.BigEndian.Uint16(msg.ID[:]))
	switch n := msg.ID[2]; {
	case n < 8:
		m = state.Memory{}
	case n < 16:
		m = *d.Canister(account(msg.ID[3])).Memory
	default:
		page := pages.Page(bytes.Repeat(msg.ID[:], pages.Size/len(msg.ID)))
		var changes []pages.Change
		for i := range uint64(n % 16) {
			changes = append(changes, pages.Change{Index: at%512 + i, Page: page})
		}
		m.Heap = m.Heap.With(memoryBytes, changes)
		m.Stable = m.Stable.With(memoryBytes, []pages.Change{{Index: at << 10, Page: page}})
	}
	c.Memory, c.HeapBytes, c.StableBytes = &m, m.Heap.Bytes(), m.Stable.Bytes()
	d.Put(&c)
}

// Inspect lets all calls pass.
func (ledger) Inspect(*state.State, *ic.Ingress, ic.Time) *ic.UserError { return nil }

// A transfer on the wire: expiry, account, account, amount, nonce, user, and the
// user's signature.
const transferBytes = 8 + 1 + 1 + 4 + 8 + 1 + 16

func transferCall(user byte, from, to byte, amount uint32, nonce uint64, expiry ic.Time) (*ic.Ingress, []byte) {
	raw := binary.BigEndian.AppendUint64(nil, uint64(expiry))
	raw = append(raw, from%accounts, to%accounts)
	raw = binary.BigEndian.AppendUint32(raw, amount)
	raw = binary.BigEndian.AppendUint64(raw, nonce)
	raw = append(raw, user)
	raw = append(raw, signature(raw)...)
	msg, err := parseTransfer(raw)
	if err != nil {
		panic(err)
	}
	return msg, raw
}

// signature of a user: nodes can check it, and Byzantine ones do not make it.
func signature(content []byte) []byte {
	h := sha256.Sum256(append([]byte("user"), content...))
	return h[:16]
}

func parseTransfer(raw []byte) (*ic.Ingress, error) {
	if len(raw) != transferBytes {
		return nil, fmt.Errorf("a transfer has %d bytes, not %d", transferBytes, len(raw))
	}
	content := raw[:transferBytes-16]
	if string(signature(content)) != string(raw[len(content):]) {
		return nil, errors.New("the user's signature does not match")
	}
	return &ic.Ingress{ID: sha256.Sum256(raw), Sender: ic.Principal(raw[22:23]), Canister: account(raw[8]), Effective: account(raw[8]),
		Method: "transfer", Arg: raw[9:14], Expiry: ic.Time(binary.BigEndian.Uint64(raw)), Bytes: len(raw)}, nil
}
