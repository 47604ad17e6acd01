package node

import (
	"fmt"

	"ashlar/replica/consensus"
	"ashlar/replica/ic"
	"ashlar/replica/wire/block"
)

// Upgrade, from Step and Run, ends this node: all is saved, and another version of the
// replica goes on at the same height on all nodes.
type Upgrade struct {
	Height  ic.Height
	Version string
}

func (u *Upgrade) Error() string {
	return fmt.Sprintf("the subnet goes on after height %d with replica version %s\n  start that version on the same directory", u.Height, u.Version)
}

// Halt ends this node because the registry says so.
type Halt struct{ Height ic.Height }

func (h *Halt) Error() string {
	return fmt.Sprintf("the registry halts the subnet at height %d\n  start again when it says otherwise, or names a catch-up package to go on from", h.Height)
}

// Left ends a node that is no member of its subnet any more, once nobody needs it.
type Left struct {
	Height ic.Height
	Subnet ic.SubnetID
	// At a start: this node, and the version of the registry that does not name it.
	Node    ic.NodeID
	Version uint64
}

func (l *Left) Error() string {
	if l.Version > 0 {
		return fmt.Sprintf("this node (%s) is no member of subnet %s at registry version %d\n  whoever has the network's authority can make it one: network add", l.Node, l.Subnet, l.Version)
	}
	return fmt.Sprintf("this node is no member of subnet %s after height %d: its last interval has ended\n  its keys and state can be erased", l.Subnet, l.Height)
}

// gone is Left for a node that is no member to begin with.
func (n *Node) gone(cup *block.Artifact) error {
	return &Left{Height: cup.Height, Subnet: n.SubnetID(), Node: n.NodeID(), Version: n.Registry.Latest()}
}

// stop as the core says. What a version signed that does not go on counts no more.
func (n *Node) stop(e consensus.Stop) error {
	switch {
	case e.Version != "":
		if err := n.Store.Begin(e.CUP, true); err != nil {
			return err
		}
		return &Upgrade{e.CUP.Height, e.Version}
	case e.Halt:
		return &Halt{e.CUP.Height}
	}
	return n.leave(e.CUP)
}

// beginning is the newest of the packages that the store and the registry have; fresh
// tells that the store's is not it, or waits for its state.
func (n *Node) beginning() (cup *block.Artifact, fresh bool, err error) {
	stored, waits, err := n.Store.CUP()
	if err != nil {
		return nil, false, err
	}
	start := n.Start
	if stored == nil || later(start, stored) {
		if stored == nil {
			if err := n.unused(); err != nil {
				return nil, false, err
			}
			if err := n.amnesia(start); err != nil {
				return nil, false, err
			}
		} else {
			n.Log(fmt.Sprintf("the registry says to go on from height %d", start.Height))
			if err := n.bring(start, stored); err != nil {
				return nil, false, err
			}
		}
		if err := n.Store.Begin(start, true); err != nil {
			return nil, false, err
		}
		return start, true, nil
	}
	return stored, waits, nil
}

// unused: a directory without a package must be new.
func (n *Node) unused() error {
	s, err := n.Store.LoadState()
	if err == nil && s != nil {
		err = fmt.Errorf("the state directory holds a state of height %d and no catch-up package: an older replica wrote it\n  go on with that one, or begin with a new directory", s.Height())
	}
	return err
}

// amnesia: keys that signed before, and nothing is known of what. Who signs two things
// of one height is as bad as who lies, so this node votes on nothing that it may have
// seen before (consensus.Config.Forgot). A node alone has nobody to deceive.
func (n *Node) amnesia(start *block.Artifact) error {
	s, err := block.DecodeSummary(start.Block.Section(block.SummarySection))
	if err != nil || !n.Keys.Used() || len(s.Current.Members) == 1 {
		return err
	}
	if at, err := n.Store.Forgot(); at != 0 || err != nil {
		return err
	}
	n.Log("this node's keys were used before, and its database is new: it votes once it sees blocks that are later than this")
	return n.Store.SetForgot(n.Clock.Now())
}
