package node

import (
	"container/list"
	"sync"

	"ashlar/replica/execution/canister"
)

// Answers keeps answers of queries: package canister's Cache. The ones used
// longest ago make room for new ones.
type Answers struct {
	mu    sync.Mutex
	limit int
	bytes int
	by    map[[32]byte]*list.Element
	order *list.List // of *kept, the last used first

	hits, misses, dropped uint64
}

type kept struct {
	key    [32]byte
	answer *canister.Answer
	bytes  int
}

// What an answer takes besides its reply: estimates.
const (
	answerBytes   = 700 // key, list, map, an answer that one canister gave
	largestAnswer = 8   // one answer takes no more than this part of the whole
)

// NewAnswers is a cache of so many bytes.
func NewAnswers(bytes int) *Answers {
	return &Answers{limit: bytes, by: map[[32]byte]*list.Element{}, order: list.New()}
}

// Get implements canister.Cache.
func (a *Answers) Get(key [32]byte) *canister.Answer {
	a.mu.Lock()
	defer a.mu.Unlock()
	e := a.by[key]
	if e == nil {
		a.misses++
		return nil
	}
	a.hits++
	a.order.MoveToFront(e)
	return e.Value.(*kept).answer
}

// Put implements canister.Cache.
func (a *Answers) Put(key [32]byte, answer *canister.Answer) {
	k := &kept{key, answer, answerBytes * max(1, len(answer.Uses))}
	k.bytes += len(answer.Reply.Data)
	if r := answer.Reply.Reject; r != nil {
		k.bytes += len(r.Message)
	}
	if k.bytes > a.limit/largestAnswer {
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if e := a.by[key]; e != nil { // what is there does not hold any more
		a.drop(e)
	}
	a.by[key] = a.order.PushFront(k)
	a.bytes += k.bytes
	for a.bytes > a.limit {
		a.drop(a.order.Back())
		a.dropped++
	}
}

func (a *Answers) drop(e *list.Element) {
	k := a.order.Remove(e).(*kept)
	delete(a.by, k.key)
	a.bytes -= k.bytes
}

// AnswersMetrics are what an operator watches.
type AnswersMetrics struct{ Bytes, Answers, Hits, Misses, Dropped uint64 }

// Metrics at this moment. A hit may be on an answer that does not hold any more.
func (a *Answers) Metrics() AnswersMetrics {
	a.mu.Lock()
	defer a.mu.Unlock()
	return AnswersMetrics{uint64(a.bytes), uint64(len(a.by)), a.hits, a.misses, a.dropped}
}
