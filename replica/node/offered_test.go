package node_test

import (
	"encoding/binary"
	"errors"
	"testing"
	"time"

	"ashlar/replica/ic"
	"ashlar/replica/node"
	"ashlar/replica/wire/envelope"
)

// Of the calls that a peer offers together the good ones are taken, once, and each of
// the others is a fault of its own.
func TestOffered(t *testing.T) {
	b := open(t)
	asked := 0
	b.cfg.Check = func(claims []envelope.Claim, _ ic.Time) []error {
		errs := make([]error, len(claims))
		asked += len(claims)
		for i, c := range claims {
			if c.Msg.ID[0] == 9 {
				errs[i] = errors.New("forged")
			}
		}
		return errs
	}
	n, err := node.New(b.cfg)
	if err != nil {
		t.Fatal(err)
	}
	b.Node = n
	b.rest(t)
	b.pass(t, 20*time.Millisecond)
	offer := func(id byte) []byte {
		raw := binary.BigEndian.AppendUint64([]byte{id}, uint64(b.now.Time+ic.Time(time.Minute)))
		c := ic.CanisterIDFromUint64(1)
		return append(append([]byte{byte(len(c.Principal))}, c.Principal...), append(raw, "xxxxxxxxx"...)...)
	}
	if wrong := b.Offered([][]byte{offer(1), offer(9), nil, offer(2), {200}}); len(wrong) != 3 {
		t.Errorf("wrong: %v", wrong)
	}
	if p := b.Metrics().Pool; p != 2 || asked != 3 {
		t.Errorf("%d calls in the pool, %d were checked", p, asked)
	}
	if wrong := b.Offered([][]byte{offer(2), offer(1)}); len(wrong) != 0 || asked != 3 {
		t.Errorf("what is in the pool was checked again: %d, %v", asked, wrong)
	}
	if wrong := b.Offered([][]byte{offer(3), offer(3)}); len(wrong) != 0 || b.Metrics().Pool != 3 {
		t.Errorf("the same call twice: %v, %d in the pool", wrong, b.Metrics().Pool)
	}
	if wrong := b.Offered(nil); len(wrong) != 0 {
		t.Error(wrong)
	}
}
