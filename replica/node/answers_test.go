package node

import (
	"testing"

	"ashlar/replica/execution/canister"
	"ashlar/replica/ic"
)

func TestAnswersAreBounded(t *testing.T) {
	a := NewAnswers(16 * answerBytes)
	answer := func(bytes int) *canister.Answer { return &canister.Answer{Reply: ic.Reply{Data: make([]byte, bytes)}} }
	key := func(n int) [32]byte { return [32]byte{byte(n)} }
	for n := range 17 {
		a.Put(key(n), answer(0))
		if n == 8 && a.Get(key(0)) == nil {
			t.Fatal("an answer is forgotten though there is room")
		}
	}
	if a.Get(key(0)) == nil || a.Get(key(1)) != nil {
		t.Error("the answer used longest ago was to go")
	}
	again := answer(1)
	a.Put(key(0), again)
	if a.Get(key(0)) != again {
		t.Error("a newer answer did not replace the old one")
	}
	a.Put(key(99), answer(2*answerBytes))
	if a.Get(key(99)) != nil {
		t.Error("one answer may fill the whole")
	}
	if m := a.Metrics(); m.Bytes > uint64(a.limit) || m.Answers != 15 || len(a.by) != a.order.Len() || m.Dropped != 2 {
		t.Errorf("%+v", m)
	}
}
