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
// by the one who made the version, before others see it.
package trie

import (
	"ashlar/replica/state/merkle"
	"ashlar/replica/wire/hashtree"
)

// Map is one version. The zero value is empty.
type Map[V any] struct {
	root *node[V]
	size int
}

type node[V any] struct {
	// Inner node: bit is the first position in which the keys below differ.
	bit  int
	kids [2]*node[V]
	// Leaf: kids are nil.
	key   string
	value V

	sealed, summed bool
	tree           *hashtree.Tree
	sum            merkle.Sum
}

func (n *node[V]) leaf() bool { return n.kids[0] == nil }

// bitAt reads a key as nine bits per byte: a one before each byte and a zero at
// the end. So no key is a prefix of another and the order is that of bytes.
func bitAt(key string, i int) int {
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
func critical(a, b string) int {
	i := 0
	for i < len(a) && i < len(b) && a[i] == b[i] {
		i++
	}
	for bit := i * 9; ; bit++ {
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
	fresh := &node[V]{key: key, value: value}
	if m.root == nil {
		return Map[V]{fresh, 1}
	}
	n := m.root
	for !n.leaf() {
		n = n.kids[bitAt(key, n.bit)]
	}
	if n.key == key {
		return Map[V]{insert(m.root, fresh, -1), m.size}
	}
	return Map[V]{insert(m.root, fresh, critical(n.key, key)), m.size + 1}
}

// insert copies the path to the new leaf; at is -1 where the key is there already.
func insert[V any](n, fresh *node[V], at int) *node[V] {
	if n.leaf() && at < 0 {
		return fresh
	}
	if at >= 0 && (n.leaf() || n.bit > at) {
		up := &node[V]{bit: at}
		side := bitAt(fresh.key, at)
		up.kids[side], up.kids[1-side] = fresh, n
		return up
	}
	up := &node[V]{bit: n.bit, kids: n.kids}
	side := bitAt(fresh.key, n.bit)
	up.kids[side] = insert(n.kids[side], fresh, at)
	return up
}

// Without is the version that lacks key.
func (m Map[V]) Without(key string) Map[V] {
	if _, ok := m.Get(key); !ok {
		return m
	}
	return Map[V]{remove(m.root, key), m.size - 1}
}

func remove[V any](n *node[V], key string) *node[V] {
	if n.leaf() {
		return nil
	}
	side := bitAt(key, n.bit)
	kid := remove(n.kids[side], key)
	if kid == nil {
		return n.kids[1-side]
	}
	up := &node[V]{bit: n.bit, kids: n.kids}
	up.kids[side] = kid
	return up
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
func split[V any](a, b *node[V]) (bit int, left, right [2]*node[V]) {
	ka, kb := some(a), some(b)
	crit := 1 << 60
	if ka != kb {
		crit = critical(ka, kb)
	}
	abit, bbit := 1<<60, 1<<60
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

// Seal computes what is missing of the hash tree of labelled entries: label
// gives an entry's subtree, nil where it does not show.
func (m Map[V]) Seal(label func(key string, v V) *hashtree.Tree) *hashtree.Tree {
	return seal(m.root, label)
}

func seal[V any](n *node[V], label func(string, V) *hashtree.Tree) *hashtree.Tree {
	if n == nil || n.sealed {
		if n == nil {
			return nil
		}
		return n.tree
	}
	n.sealed = true
	if n.leaf() {
		if sub := label(n.key, n.value); sub != nil {
			n.tree = hashtree.NewLabeled([]byte(n.key), sub)
		}
		return n.tree
	}
	l, r := seal(n.kids[0], label), seal(n.kids[1], label)
	switch {
	case l == nil:
		n.tree = r
	case r == nil:
		n.tree = l
	default:
		n.tree = hashtree.NewFork(l, r)
	}
	return n.tree
}
