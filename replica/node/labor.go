package node

import (
	"context"

	"ashlar/replica/consensus"
)

// Labor does the next piece of what takes long and nobody waits for: dealings of
// keys, and shares of new ones. It tells whether there was any.
func (n *Node) Labor() bool {
	n.mu.Lock()
	if len(n.chores) == 0 {
		n.mu.Unlock()
		return false
	}
	do := n.chores[0]
	n.chores = n.chores[1:]
	n.mu.Unlock()
	do()
	poke(n.kick)
	return true
}

// chore for Labor, in order: who deals a share has it by then.
func (n *Node) chore(do func()) {
	n.mu.Lock()
	n.chores = append(n.chores, do)
	n.mu.Unlock()
	poke(n.toil)
}

func (n *Node) task(t consensus.Task) {
	n.chore(func() {
		done := t.Do()
		n.mu.Lock()
		n.done = append(n.done, done)
		n.mu.Unlock()
	})
}

func (n *Node) keep(keys []consensus.Key) {
	n.chore(func() {
		lost, err := n.Keys.Keep(keys)
		if lost != nil {
			n.Log(lost.Error())
		}
		if err != nil {
			n.fail(err)
		}
	})
}

// fail ends the node at its next Step.
func (n *Node) fail(err error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.failed == nil {
		n.failed = err
	}
}

func (n *Node) labors(ctx context.Context) error {
	for {
		for ctx.Err() == nil && n.Labor() {
		}
		select {
		case <-n.toil:
		case <-ctx.Done():
			return nil
		}
	}
}
