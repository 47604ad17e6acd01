package node

import (
	"slices"
	"strings"
	"sync"

	"ashlar/replica/execution/canister"
	"ashlar/replica/ic"
	"ashlar/replica/state"
	"ashlar/replica/wire/block"
)

// queried counts what this node answers queries with, until a block of its own has
// told the subnet.
//
//	answer ── count ──> by canister ── section ──> own block ── told ──> less of it
type queried struct {
	mu   sync.Mutex
	by   map[ic.CanisterID]state.Stats
	last ic.CanisterID // of the section told last: the next one begins behind it
}

// maxCounted canisters are counted at a time; what others do meanwhile is not.
const maxCounted = 100_000

func (q *queried) count(uses []canister.Use) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.by == nil {
		q.by = map[ic.CanisterID]state.Stats{}
	}
	for _, u := range uses {
		s, known := q.by[u.Canister]
		if !known && len(q.by) >= maxCounted {
			continue
		}
		s.Calls, s.Instructions = s.Calls+u.Calls, s.Instructions+u.Instructions
		s.RequestBytes, s.ResponseBytes = s.RequestBytes+u.RequestBytes, s.ResponseBytes+u.ResponseBytes
		q.by[u.Canister] = s
	}
}

// section is the next part of what is to be told, nil where there is nothing.
func (q *queried) section() []block.Queried {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.by) == 0 {
		return nil
	}
	order := func(a, b block.Queried) int {
		return strings.Compare(string(a.Canister.Principal), string(b.Canister.Principal))
	}
	out := make([]block.Queried, 0, len(q.by))
	for id, s := range q.by {
		out = append(out, block.Queried{Canister: id, Calls: s.Calls, Instructions: s.Instructions, RequestBytes: s.RequestBytes, ResponseBytes: s.ResponseBytes})
	}
	slices.SortFunc(out, order)
	if len(out) <= block.MaxQueried {
		return out
	}
	from, _ := slices.BinarySearchFunc(out, block.Queried{Canister: q.last}, order)
	if from < len(out) && out[from].Canister == q.last {
		from++
	}
	if from > len(out)-block.MaxQueried {
		from = 0
	}
	return out[from : from+block.MaxQueried]
}

// told takes off what a block of this node has brought into the state.
func (q *queried) told(list []block.Queried) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, t := range list {
		q.last = t.Canister
		s, known := q.by[t.Canister]
		if !known {
			continue // counted before a restart
		}
		less := func(n *uint64, by uint64) { *n -= min(*n, by) }
		less(&s.Calls, t.Calls)
		less(&s.Instructions, t.Instructions)
		less(&s.RequestBytes, t.RequestBytes)
		less(&s.ResponseBytes, t.ResponseBytes)
		if q.by[t.Canister] = s; s == (state.Stats{}) {
			delete(q.by, t.Canister)
		}
	}
}

// queriesOf reads what a block says of queries.
func queriesOf(b *block.Block) ([]block.Queried, error) {
	for _, s := range b.Sections {
		if s.Kind == block.QueriesSection {
			return block.DecodeQueries(s.Data)
		}
	}
	return nil, nil
}

func usesOf(list []block.Queried) (out []canister.Use) {
	for _, q := range list {
		out = append(out, canister.Use{Canister: q.Canister, Stats: state.Stats{Calls: q.Calls, Instructions: q.Instructions, RequestBytes: q.RequestBytes, ResponseBytes: q.ResponseBytes}})
	}
	return out
}

// Sections of a block of this node, beside the calls. What a block that waits to be
// executed has told is not told again.
func (p *payload) Sections(ancestors func(yield func(*block.Block) bool)) []block.Section {
	waits := false
	ancestors(func(b *block.Block) bool {
		list, _ := queriesOf(b)
		waits = b.Maker == p.Keys.NodeID() && len(list) > 0
		return !waits
	})
	if waits {
		return nil
	}
	list := p.queried.section()
	if list == nil {
		return nil
	}
	return []block.Section{{Kind: block.QueriesSection, Data: block.EncodeQueries(list)}}
}
