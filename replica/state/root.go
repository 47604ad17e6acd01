package state

import (
	"ashlar/replica/state/merkle"
	"ashlar/replica/state/pages"
)

// Root names the whole state: every key and value, pages included. It stands in
// the certified tree at /metadata/state, so a certified root vouches for it.
func (s *State) Root() merkle.Sum { return s.root }

// PagesHashed counts the pages whose sum was computed on the way to this state:
// the difference of two states bounds the pages between them.
func (s *State) PagesHashed() uint64 { return s.hashed }

// labelCanisters is what the keys of all canisters begin with: the letter and the
// length of an id.
const labelCanisters = keyCanister + string(rune(canisterIDBytes))

// Merkle is the whole state as nodes under Root. The labels on the way down to a
// value add up to its key in the store; see package merkle.
func (s *State) Merkle() merkle.Node {
	return merkle.NewDir(present([]merkle.Kid{
		{Label: labelCanisters, Node: s.canisters.Merkle(func(_ string, c *Canister) merkle.Node {
			return merkle.Known{Remembered: c.sum, Make: c.merkle}
		})},
		{Label: keyCall, Node: s.calls.Merkle(valueNode[*Call])},
		{Label: keyHead, Node: valueNode("", s.head)},
		{Label: keyQueue, Node: s.queue.Merkle(valueNode[*Message])},
		{Label: keySubnet, Node: valueNode("", s.subnet)},
		{Label: keyCode, Node: s.codes.Merkle(func(_ string, c *Code) merkle.Node {
			return merkle.Known{Remembered: c.sum, Make: func() merkle.Node { return merkle.NewValue(c.bytes()) }}
		})},
	}))
}

// present drops the labels that have nothing.
func present(kids []merkle.Kid) []merkle.Kid {
	out := kids[:0]
	for _, k := range kids {
		if k.Node != nil {
			out = append(out, k)
		}
	}
	return out
}

// sum computes the root, and the digests of canisters and calls in the certified tree;
// only what is new is hashed.
func (s *State) sum() {
	t, x := &totals{}, &summer{hashed: s.hashed}
	t.add(labelCanisters)(s.canisters.Seal(func(_ string, c *Canister) (merkle.Sum, [32]byte) { return c.total(x), c.seal() }))
	t.add(keyCall)(s.calls.Seal(func(_ string, c *Call) (merkle.Sum, [32]byte) { return x.value(c), c.digest() }))
	s.hashed = x.hashed
	t.add(keyHead)(valueSum("", s.head), true)
	t.add(keyQueue)(s.queue.Sum(valueSum[*Message]))
	if s.subnetSum.of != s.subnet {
		s.subnetSum = subnetSum{s.subnet, valueSum("", s.subnet)}
	}
	t.add(keySubnet)(s.subnetSum.sum, true)
	t.add(keyCode)(s.codes.Sum(func(_ string, c *Code) merkle.Sum { return c.total() }))
	s.root = t.dir()
}

// subnetSum remembers the sum of the record that changes least.
type subnetSum struct {
	of  *Subnet
	sum merkle.Sum
}

// totals gathers the sums of a Dir.
type totals struct {
	edges [16]merkle.Edge
	n     int
}

func (t *totals) add(label string) func(merkle.Sum, bool) {
	return func(sum merkle.Sum, ok bool) {
		if ok {
			t.edges[t.n] = merkle.Edge{Label: label, Sum: sum}
			t.n++
		}
	}
}

func (t *totals) dir() merkle.Sum { return merkle.SumDir(t.edges[:t.n]) }

func valueNode[V any](_ string, v V) merkle.Node { return merkle.NewValue(encoded(v)) }

func valueSum[V any](_ string, v V) merkle.Sum { return new(summer).value(v) }

// summer computes the sums of one state, one value after the other.
type summer struct {
	hashed uint64 // pages
	room   []byte // of the value before
}

func (x *summer) value(v any) merkle.Sum {
	if x.room == nil {
		x.room = make([]byte, 1, 512)
	}
	x.room = encode(x.room[:1], v)
	if len(x.room) > merkle.PieceBytes {
		return merkle.SumValue(x.room[1:])
	}
	return merkle.SumBehind(x.room)
}

func chunkNode(_ string, c *Chunk) merkle.Node { return merkle.NewValue(c.Bytes()) }
func chunkSum(_ string, c *Chunk) merkle.Sum   { return c.sum }

// total is the canister's sum; merkle below shows the same.
func (c *Canister) total(x *summer) merkle.Sum {
	t := &totals{}
	t.add(string(fieldCallback))(c.Callbacks.Sum(valueSum[*Callback]))
	t.add(string(fieldHeap))(x.memory(c.Memory.Heap))
	t.add(string(fieldChunk))(c.Chunks.Sum(chunkSum))
	t.add(string(fieldLog))(c.Logs.Sum(valueSum[*LogRecord]))
	if c.Module != nil {
		t.add(string(fieldModule))(c.Module.sum, true)
	}
	t.add(string(fieldSnapshot))(c.Snapshots.Sum(func(_ string, s *Snapshot) merkle.Sum { return s.total(x) }))
	t.add(string(fieldQueue))(c.Queue.Sum(valueSum[*Message]))
	t.add(string(fieldRecord))(x.value(&c.Record), true)
	t.add(string(fieldStable))(x.memory(c.Memory.Stable))
	t.add(string(fieldContext))(c.Contexts.Sum(valueSum[*CallContext]))
	if len(c.History) > 0 {
		t.add(string(fieldHistory))(c.historySum(), true)
	}
	if len(c.Memory.Globals) > 0 {
		t.add(string(fieldGlobals))(x.value(c.Memory.Globals), true)
	}
	c.sum = t.dir()
	return c.sum
}

// historySum is remembered from version to version of the canister.
func (c *Canister) historySum() merkle.Sum {
	newest := c.History[len(c.History)-1]
	if c.past.of != newest || c.past.n != len(c.History) {
		c.past = historySum{newest, len(c.History), valueSum("", c.History)}
	}
	return c.past.sum
}

type historySum struct {
	of  *Change
	n   int
	sum merkle.Sum
}

func (c *Canister) merkle() merkle.Node {
	kids := []merkle.Kid{
		{Label: string(fieldCallback), Node: c.Callbacks.Merkle(valueNode[*Callback])},
		{Label: string(fieldHeap), Node: c.Memory.Heap.Merkle()},
		{Label: string(fieldChunk), Node: c.Chunks.Merkle(chunkNode)},
		{Label: string(fieldLog), Node: c.Logs.Merkle(valueNode[*LogRecord])},
		{Label: string(fieldModule)},
		{Label: string(fieldSnapshot), Node: c.Snapshots.Merkle(func(_ string, s *Snapshot) merkle.Node { return s.merkle() })},
		{Label: string(fieldQueue), Node: c.Queue.Merkle(valueNode[*Message])},
		{Label: string(fieldRecord), Node: valueNode("", &c.Record)},
		{Label: string(fieldStable), Node: c.Memory.Stable.Merkle()},
		{Label: string(fieldContext), Node: c.Contexts.Merkle(valueNode[*CallContext])},
		{Label: string(fieldHistory)},
		{Label: string(fieldGlobals)},
	}
	if c.Module != nil {
		kids[4].Node = valueNode("", c.Module)
	}
	if len(c.History) > 0 {
		kids[10].Node = valueNode("", c.History)
	}
	if len(c.Memory.Globals) > 0 {
		kids[11].Node = valueNode("", c.Memory.Globals)
	}
	return merkle.NewDir(present(kids))
}

func (s *Snapshot) total(x *summer) merkle.Sum {
	t := &totals{}
	t.add(string(fieldSnapshotRecord))(valueSum("", s), true)
	t.add(string(fieldSnapshotCode))(x.memory(s.Upload))
	t.add(string(fieldHeap))(x.memory(s.Memory.Heap))
	t.add(string(fieldChunk))(s.Chunks.Sum(chunkSum))
	t.add(string(fieldStable))(x.memory(s.Memory.Stable))
	return t.dir()
}

func (s *Snapshot) merkle() merkle.Node {
	return merkle.NewDir(present([]merkle.Kid{
		{Label: string(fieldSnapshotRecord), Node: valueNode("", s)},
		{Label: string(fieldSnapshotCode), Node: s.Upload.Merkle()},
		{Label: string(fieldHeap), Node: s.Memory.Heap.Merkle()},
		{Label: string(fieldChunk), Node: s.Chunks.Merkle(chunkNode)},
		{Label: string(fieldStable), Node: s.Memory.Stable.Merkle()},
	}))
}

func (x *summer) memory(m pages.Map) (merkle.Sum, bool) {
	sum, n, ok := m.Sum()
	x.hashed += uint64(n)
	return sum, ok
}
