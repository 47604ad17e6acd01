package state

import "ashlar/replica/state/trie"

// This file: the order in which waiting messages are taken. Who sends many does not
// come before who sends one:
//
//	place = turn ── number    in each turn a canister has one message, all users together usersTurn
//
// A message that comes while others wait has its turn after the present one at the
// earliest, so that each turn ends. Messages of one sender keep their order.

// usersTurn is how many users' messages have a place in one turn.
const usersTurn = 100

// A place is the key of a queue: the turn in its upper bits, then the low bits of a
// running number.
const numberBits = 24

func placeOf(turn, number uint64) string { return ID(turn<<numberBits | number&(1<<numberBits-1)) }

func turnOf(key string) uint64 { return Number(key) >> numberBits }

// line is who waits, and up to which turn. It follows from the queue.
type line struct{ senders trie.Map[waits] }

type waits struct {
	messages, inLast int
	last             uint64 // turn of the last message, and inLast is how many are in it
}

// sender of a message, as far as its turn is concerned.
func (m *Message) sender() (who string, perTurn int) {
	switch m.Origin.Kind {
	case Ingress:
		return "users", usersTurn
	case Response:
		return "from " + string(m.Callee.Principal), 1
	}
	return "from " + string(m.Origin.Caller), 1
}

// next is the place of m at the end of q.
func (l line) next(q trie.Map[*Message], m *Message, number uint64) string {
	first, _, waiting := q.First()
	if !waiting {
		return placeOf(0, number)
	}
	turn := turnOf(first) + 1
	who, perTurn := m.sender()
	if w, ok := l.senders.Get(who); ok {
		if w.inLast >= perTurn {
			w.last++
		}
		turn = max(turn, w.last)
	}
	return placeOf(turn, number)
}

// joined is the line after m has taken a place; messages of one sender in their order.
func (l line) joined(key string, m *Message) line {
	who, _ := m.sender()
	w, _ := l.senders.Get(who)
	w.messages++
	if turn := turnOf(key); turn == w.last {
		w.inLast++
	} else {
		w.last, w.inLast = turn, 1
	}
	return line{l.senders.With(who, w)}
}

// left is the line after m has left its place in q, which has lost it already.
func (l line) left(key string, m *Message, q trie.Map[*Message]) line {
	who, _ := m.sender()
	w, _ := l.senders.Get(who)
	if w.messages--; w.messages == 0 {
		return line{l.senders.Without(who)}
	}
	if turnOf(key) == w.last {
		w.inLast--
	}
	l = line{l.senders.With(who, w)}
	if w.inLast > 0 {
		return l
	}
	// Its last one was dropped from the middle.
	l = line{l.senders.Without(who)}
	q.Each(func(key string, m *Message) bool {
		if other, _ := m.sender(); other == who {
			l = l.joined(key, m)
		}
		return true
	})
	return l
}

// lineOf makes the line of a queue.
func lineOf(q trie.Map[*Message]) (l line) {
	q.Each(func(key string, m *Message) bool {
		l = l.joined(key, m)
		return true
	})
	return l
}
