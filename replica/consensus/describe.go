package consensus

import (
	"fmt"
	"strings"
)

// Describe tells in a line where this node stands and what its round has, for
// whoever wonders why nothing goes on.
func (c *Core) Describe() string {
	r := c.round(c.height)
	var b strings.Builder
	fmt.Fprintf(&b, "round %d, final %d, delivered %d, executed %d, certified %d:", c.height, c.finalized, c.delivered, c.executed, c.certified)
	if r.start == 0 {
		b.WriteString(" not begun,")
	}
	if r.beacon == nil {
		fmt.Fprintf(&b, " %d beacon shares,", len(r.beaconShares))
	}
	for _, p := range r.sorted() {
		verdict := "not judged"
		if p.valid {
			verdict = "valid"
		} else if p.invalid {
			verdict = "invalid"
		}
		fmt.Fprintf(&b, " block %x of member %d (rank %d, %s, %d votes),", p.Hash[:2], p.Signer, p.Block.Rank, verdict, len(r.notary[p.Hash]))
	}
	for _, h := range r.notarized {
		fmt.Fprintf(&b, " notarized %x,", h[:2])
	}
	for _, h := range sortedKeys(r.finality) {
		fmt.Fprintf(&b, " %d final votes for %x,", len(r.finality[h]), h[:2])
	}
	if next := c.rounds[c.delivered+1]; c.finalized > c.delivered && next != nil {
		fmt.Fprintf(&b, " batch %d has %d tape shares, its block is %s", c.delivered+1, len(next.tapeShares), there(c.finalBlock(c.delivered+1) != nil))
	}
	if next := c.rounds[c.certified+1]; c.executed > c.certified && next != nil {
		fmt.Fprintf(&b, " state %d has %d kinds of shares", c.certified+1, len(next.certShares))
	}
	return strings.TrimRight(b.String(), ",")
}

func there(ok bool) string {
	if ok {
		return "here"
	}
	return "missing"
}
