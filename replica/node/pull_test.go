package node

import (
	"slices"
	"testing"

	"ashlar/replica/consensus"
	"ashlar/replica/ic"
)

// Who has the package that is due may have gone on from it in another era, and be ahead
// of nobody there: all are asked.
func TestWhoIsAsked(t *testing.T) {
	n := &Node{core: &consensus.Core{}, pull: newPull()}
	n.pull.heard(name(1), 13)
	n.pull.heard(name(2), 7)
	for _, c := range []struct {
		what string
		here place
		late bool
		who  []ic.NodeID
		kind byte
	}{
		{"nothing is due, and one is ahead, but not far", place{height: 12}, false, []ic.NodeID{name(1)}, 0},
		{"so for long", place{height: 12}, true, []ic.NodeID{name(1)}, askArtifacts},
		{"one is far ahead", place{height: 2}, false, []ic.NodeID{name(1)}, askArtifacts},
		{"nobody is ahead", place{height: 13}, true, nil, 0},
		{"a package is due", place{height: 12, due: 12}, false, []ic.NodeID{name(1)}, 0},
		{"a package is due for long, and one is ahead", place{height: 12, due: 12}, true, []ic.NodeID{name(1), name(2)}, askArtifacts},
		{"a package is due for long, and nobody is ahead", place{height: 13, due: 12}, true, []ic.NodeID{name(1), name(2)}, askArtifacts},
	} {
		n.pull.here, n.pull.round = c.here, c.here.height+1
		who, kind := n.lack(c.late)
		if kind != c.kind || !slices.Equal(inOrder(who), c.who) {
			t.Errorf("%s: %v are asked for %d, not %v for %d", c.what, who, kind, c.who, c.kind)
		}
	}
}
