// Package trie is a sorted map whose versions share what they have in common.
//
//	version 1 ── o ─┬─ o ── a, b        With(d) copies the path to d,
//	               └─ o ─┬─ c           nothing else
//	version 2 ── o'──┴─ o'─┴─ d
//
// It is a crit-bit trie over bytes: its shape is a function of the keys alone,
// not of the order they came in, so that two nodes with equal maps have equal
// trees. Each inner node becomes one fork of the certified hash tree, and
// remembers it: Seal hashes only what changed since the last version.
//
// A Map is immutable. Seal and Sum write the remembered hashes and must be called
// by the one who made the version, before others see it. Who makes many changes before
// anybody sees them has an Owner: nodes that it has made it changes in place.
package trie

import (
	"math"

	"ashlar/replica/state/merkle"
)

// Map is one version. The zero value is empty.
type Map[V any] struct {
	root *node[V]
	size int
}

// Owner is a right to change nodes in place. No two that are in use are the same, but
// for Nobody.
type Owner uint64

// Nobody changes nothing in place.
const Nobody Owner = 0

type node[V any] struct {
	// Inner node: bit is the first position in which the keys below differ.
	kids [2]*node[V]
	// Leaf: kids are nil.
	key   string
	value V

	owner          Owner // who made it
	known          *known
	bit            int32
	sealed, summed bool // which of known it has
}

// known is what a node remembers. Most nodes that a round makes are gone at its end:
// they have none.
type known struct {
	digest [32]byte // in the certified tree
	sum    merkle.Sum
}

func (n *node[V]) remember() *known {
	if n.known == nil {
		n.known = new(known)
	}
	return n.known
}

// ours tells whether own may change the node. What was remembered of it goes.
func (n *node[V]) ours(own Owner) bool {
	if own == Nobody || n.owner != own {
		return false
	}
	n.sealed, n.summed = false, false
	return true
}

func (n *node[V]) leaf() bool { return n.kids[0] == nil }

// bitAt reads a key as nine bits per byte: a one before each byte and a zero at
// the end. So no key is a prefix of another and the order is that of bytes.
func bitAt[K string | []byte](key K, bit int32) int {
	i := int(bit)
	at := i / 9
	if at >= len(key) {
		return 0
	}
	if i%9 == 0 {
		return 1
	}
	return int(key[at]>>(8-i%9)) & 1
}

// critical is the first bit in which two different keys differ.
func critical(a, b string) int32 {
	i := 0
	for i < len(a) && i < len(b) && a[i] == b[i] {
		i++
	}
	for bit := int32(i * 9); ; bit++ {
		if bitAt(a, bit) != bitAt(b, bit) {
			return bit
		}
	}
}

// Len is the number of entries.
func (m Map[V]) Len() int { return m.size }

// Get finds the value of key.
func (m Map[V]) Get(key string) (v V, ok bool) {
	n := m.root
	if n == nil {
		return v, false
	}
	for !n.leaf() {
		n = n.kids[bitAt(key, n.bit)]
	}
	if n.key != key {
		return v, false
	}
	return n.value, true
}

// With is the version that has value at key.
func (m Map[V]) With(key string, value V) Map[V] {
	m.Set(Nobody, key, value)
	return m
}

// Set makes m the version that has value at key.
func (m *Map[V]) Set(own Owner, key string, value V) {
	n := m.root
	if n == nil {
		*m = Map[V]{&node[V]{key: key, value: value, owner: own}, 1}
		return
	}
	for !n.leaf() {
		n = n.kids[bitAt(key, n.bit)]
	}
	if n.key == key {
		m.root = replace(own, m.root, n.key, value)
		return
	}
	fresh := &node[V]{key: key, value: value, owner: own}
	m.root = insert(own, m.root, fresh, critical(n.key, key))
	m.size++
}

// replace the value of a key that is there.
func replace[V any](own Owner, n *node[V], key string, value V) *node[V] {
	if n.leaf() {
		if n.ours(own) {
			n.value = value
			return n
		}
		return &node[V]{key: key, value: value, owner: own}
	}
	side := bitAt(key, n.bit)
	return n.with(own, side, replace(own, n.kids[side], key, value))
}

// with is the inner node with another kid.
func (n *node[V]) with(own Owner, side int, kid *node[V]) *node[V] {
	if !n.ours(own) {
		n = &node[V]{bit: n.bit, kids: n.kids, owner: own}
	}
	n.kids[side] = kid
	return n
}

// insert a leaf whose key differs from those that are there at a bit.
func insert[V any](own Owner, n, fresh *node[V], at int32) *node[V] {
	if n.leaf() || n.bit > at {
		up := &node[V]{bit: at, owner: own}
		side := bitAt(fresh.key, at)
		up.kids[side], up.kids[1-side] = fresh, n
		return up
	}
	side := bitAt(fresh.key, n.bit)
	return n.with(own, side, insert(own, n.kids[side], fresh, at))
}

// Without is the version that lacks key.
func (m Map[V]) Without(key string) Map[V] {
	m.Unset(Nobody, key)
	return m
}

// Unset makes m the version that lacks key.
func (m *Map[V]) Unset(own Owner, key string) {
	if _, ok := m.Get(key); ok {
		*m = Map[V]{remove(own, m.root, key), m.size - 1}
	}
}

func remove[V any](own Owner, n *node[V], key string) *node[V] {
	if n.leaf() {
		return nil
	}
	side := bitAt(key, n.bit)
	kid := remove(own, n.kids[side], key)
	if kid == nil {
		return n.kids[1-side]
	}
	return n.with(own, side, kid)
}

// Each yields the entries in order of their keys, until it says false.
func (m Map[V]) Each(yield func(key string, v V) bool) { each(m.root, yield) }

func each[V any](n *node[V], yield func(string, V) bool) bool {
	if n == nil {
		return true
	}
	if n.leaf() {
		return yield(n.key, n.value)
	}
	return each(n.kids[0], yield) && each(n.kids[1], yield)
}

// First is the smallest key and its value.
func (m Map[V]) First() (key string, v V, ok bool) {
	n := m.root
	if n == nil {
		return "", v, false
	}
	for !n.leaf() {
		n = n.kids[0]
	}
	return n.key, n.value, true
}

// Change is one difference of two versions: Old or New is absent where the key
// is only in one of them.
type Change[V any] struct {
	Key            string
	Old, New       V
	HadOld, HasNew bool
}

// Diff yields, in order, the entries that are not shared between old and m.
// Shared subtrees are skipped.
func (m Map[V]) Diff(old Map[V], yield func(Change[V]) bool) { diff(old.root, m.root, yield) }

func diff[V any](a, b *node[V], yield func(Change[V]) bool) bool {
	switch {
	case a == b:
		return true
	case a == nil:
		return each(b, func(k string, v V) bool { return yield(Change[V]{Key: k, New: v, HasNew: true}) })
	case b == nil:
		return each(a, func(k string, v V) bool { return yield(Change[V]{Key: k, Old: v, HadOld: true}) })
	case a.leaf() && b.leaf() && a.key == b.key:
		return yield(Change[V]{Key: a.key, Old: a.value, New: b.value, HadOld: true, HasNew: true})
	}
	// The keys below the higher of two inner nodes split at its bit; the other
	// lies whole on one side of it, unless the two split at the same bit.
	bit, left, right := split(a, b)
	if bit < 0 {
		return diff(left[0], right[0], yield) && diff(left[1], right[1], yield)
	}
	return diff(left[0], left[1], yield) && diff(right[0], right[1], yield)
}

// split cuts both subtrees into a lower and an upper part of the key space:
// {a's lower, b's lower}, {a's upper, b's upper}. bit < 0 says that the pairs
// are {a's lower, a's upper}, {b's lower, b's upper}.
func split[V any](a, b *node[V]) (bit int32, left, right [2]*node[V]) {
	ka, kb := some(a), some(b)
	const never = math.MaxInt32
	crit := int32(never)
	if ka != kb {
		crit = critical(ka, kb)
	}
	abit, bbit := int32(never), int32(never)
	if !a.leaf() {
		abit = a.bit
	}
	if !b.leaf() {
		bbit = b.bit
	}
	switch at := min(crit, abit, bbit); {
	case at == abit && at == bbit:
		return -1, a.kids, b.kids
	case at == abit: // b is whole on one side of a's bit
		side := bitAt(kb, at)
		left[0], right[0] = a.kids[0], a.kids[1]
		if side == 0 {
			left[1] = b
		} else {
			right[1] = b
		}
	case at == bbit:
		side := bitAt(ka, at)
		left[1], right[1] = b.kids[0], b.kids[1]
		if side == 0 {
			left[0] = a
		} else {
			right[0] = a
		}
	default: // they differ before either splits
		if bitAt(ka, at) == 0 {
			left[0], right[1] = a, b
		} else {
			left[1], right[0] = b, a
		}
	}
	return 0, left, right
}

// some is any key below n.
func some[V any](n *node[V]) string {
	for !n.leaf() {
		n = n.kids[0]
	}
	return n.key
}
