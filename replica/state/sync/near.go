package sync

import "ashlar/replica/state/merkle"

// near is what the node's older state has at a place of the target: a node that
// the target has there too, or has changed. The zero value is nothing.
//
// A map's nodes have no place but their keys, since a new key pushes those below
// it down. So all nodes of a map are looked up by their sum, and its entries by
// key: see level.
type near struct {
	node  merkle.Node // the same place, nil: none
	level *level      // of the map of which this place is a part
}

// known tells whether some of what is below may be in the older state.
func (n near) known() bool { return n.node != nil || n.level != nil }

// level is the labelled kids of a Dir, and those of the Dirs without a label below it.
type level struct {
	kids  map[string]merkle.Node
	forks map[Sum]merkle.Node
}

func newLevel(dir merkle.Node, most int) *level {
	l := &level{kids: map[string]merkle.Node{}, forks: map[Sum]merkle.Node{}}
	l.add(dir, most)
	return l
}

func (l *level) add(dir merkle.Node, most int) {
	if len(l.forks) >= most {
		return
	}
	l.forks[dir.Sum()] = dir
	for _, k := range dir.Kids() {
		if k.Label == "" {
			l.add(made(k.Node), most)
		} else {
			l.kids[k.Label] = k.Node
		}
	}
}

// beside is a node of the older state, ready to be compared kid by kid.
type beside struct {
	level *level
	older int // level of Pages
	node  merkle.Node
	slots map[int]merkle.Node
}

// open what is near a node of the target.
func (n near) open(d *merkle.Decoded) (b beside) {
	b.level = n.level
	if n.node == nil {
		return b
	}
	b.node = made(n.node)
	switch {
	case d.Kind != b.node.Kind():
	case d.Kind == merkle.Dir && b.level == nil:
		b.level = newLevel(b.node, nearEntries)
	case d.Kind == merkle.Pages:
		b.pages(d.Level)
	}
	return b
}

// pages brings the older memory down to a level: the root of a larger one has that
// of a smaller one in slot 0.
func (b *beside) pages(down int) {
	for {
		b.slots = map[int]merkle.Node{}
		for _, k := range b.node.Kids() {
			b.slots[k.Slot] = k.Node
		}
		if b.older = b.node.Level(); b.older <= down {
			return
		}
		if b.node = b.slots[0]; b.node == nil {
			b.slots = nil
			return
		}
	}
}

// kid is what is near a kid of the node; same: it is that kid.
func (b *beside) kid(d *merkle.Decoded, e *merkle.Edge) (k near, same bool) {
	switch {
	case d.Kind == merkle.Dir && b.level != nil && e.Label != "":
		k.node = b.level.kids[e.Label]
	case d.Kind == merkle.Dir && b.level != nil:
		if k.node = b.level.forks[e.Sum]; k.node == nil {
			k.level = b.level
		}
	case d.Kind == merkle.Pages && b.slots != nil && b.older == d.Level:
		k.node = b.slots[e.Slot]
	case d.Kind == merkle.Pages && b.slots != nil && e.Slot == 0: // the memory has grown
		k.node = b.node
	}
	return k, k.node != nil && k.node.Sum() == e.Sum
}
