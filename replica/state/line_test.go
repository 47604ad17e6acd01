package state

import (
	"math/rand/v2"
	"reflect"
	"testing"

	"ashlar/replica/ic"
	"ashlar/replica/state/trie"
)

func from(who string) *Message {
	if who == "user" {
		return &Message{Origin: Origin{Kind: Ingress}}
	}
	return &Message{Origin: Origin{Kind: Request, Caller: ic.Principal(who)}}
}

// pop takes the first message and tells who sent it.
func (c *Canister) pop() string {
	key, m, _ := c.Queue.First()
	c.Take(key)
	if m.Origin.Kind == Ingress {
		return "user"
	}
	return string(m.Origin.Caller)
}

// Who floods a canister waits behind its own messages; all others come in their turn.
func TestFloodersWaitForThemselves(t *testing.T) {
	c := &Canister{}
	for range 500 {
		c.Push(from("a"))
		c.Push(from("b"))
	}
	c.Push(from("c"))
	c.Push(from("user"))
	seen := map[string]int{}
	for i := 1; seen["c"] == 0 || seen["user"] == 0; i++ {
		if seen[c.pop()] = i; i > 6 {
			t.Fatalf("after %d messages of flooders the others still wait", i)
		}
	}
	// One that always sends anew does not keep the flooders from their turns.
	a := 0
	for range 300 {
		c.Push(from("c"))
		for c.pop() != "c" {
			a++
		}
	}
	if a < 500 {
		t.Errorf("the flooders had %d turns beside 300 of one message", a)
	}
	// Nor do users' messages, of which many fit into a turn.
	for c.Queue.Len() > 0 {
		c.pop()
	}
	for range 1000 {
		c.Push(from("user"))
	}
	c.Push(from("a"))
	for i := 0; c.pop() != "a"; i++ {
		if i > 2*usersTurn {
			t.Fatalf("a canister waits behind %d messages of users", i)
		}
	}
}

// Each sender's messages keep their order, and the line is what follows from the queue.
func TestLineFollowsFromTheQueue(t *testing.T) {
	rnd := rand.New(rand.NewPCG(3, 4))
	c := &Canister{}
	senders := []string{"a", "b", "c", "user", "d"}
	next, taken := map[string]byte{}, map[string]byte{}
	for range 3_000 {
		if who := senders[rnd.IntN(len(senders))]; rnd.IntN(100) < 52 {
			m := from(who)
			m.Arg = []byte{next[who]}
			next[who]++
			c.Push(m)
		} else if c.Queue.Len() > 0 {
			key, m, _ := c.Queue.First()
			dropped := rnd.IntN(20) == 0
			if dropped { // the last one of somebody
				c.Queue.Each(func(k string, x *Message) bool { key, m = k, x; return true })
			}
			who := "user"
			if m.Origin.Kind == Request {
				who = string(m.Origin.Caller)
			}
			c.Take(key)
			if dropped {
				next[who]--
			} else if taken[who]++; m.Arg[0] != taken[who]-1 {
				t.Fatalf("message %d of %s comes after %d others", m.Arg[0], who, taken[who]-1)
			}
		}
		if again := lineOf(c.Queue); !reflect.DeepEqual(contents(again), contents(c.line)) {
			t.Fatalf("line %v, from the queue %v", contents(c.line), contents(again))
		}
	}
}

func contents(l line) map[string]waits {
	out := map[string]waits{}
	each(l.senders, out)
	return out
}

func each(m trie.Map[waits], into map[string]waits) {
	m.Each(func(k string, v waits) bool { into[k] = v; return true })
}
