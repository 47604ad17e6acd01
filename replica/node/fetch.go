package node

import (
	"context"
	"time"

	"ashlar/replica/ic"
	"ashlar/replica/node/join"
	"ashlar/replica/state"
)

// A node that can not compute a state, since its peers have forgotten what leads to
// it, or has none to begin with, fetches one:
//
//	Behind ──> fetch.Want(package) ── Fetch, Fetch, ... ──> Adopt ──> jump: go on from there

// stateIDs are the questions of fetch, among those of pull.
const stateIDs uint64 = 1 << 61

// makeFetch makes what fetches states, where there is a place for them.
func (n *Node) makeFetch() {
	if n.Stage == nil || n.Net == nil {
		return
	}
	n.fetch = join.New(join.Config{
		Self: n.NodeID(), Stage: n.Stage, Now: n.Clock.Now, Log: n.Log, Adopt: n.Adopt, Saved: n.savedHeight,
		Ask: func(peer ic.NodeID, id uint64, request []byte) {
			n.Net.Ask(peer, id|stateIDs, append([]byte{AskState}, request...))
		},
		Older: func() *state.State {
			n.saving.Lock()
			defer n.saving.Unlock()
			return n.disk
		},
		Blame: func(peer ic.NodeID, why error) {
			n.metrics.falseParts.Add(1)
			n.blame(peer, "state", why)
		},
	})
}

// Fetch does what there is to be done to fetch a state. An error ends the node.
func (n *Node) Fetch() error {
	if n.fetch == nil {
		return nil
	}
	return n.fetch.Turn()
}

// FetchAt is when Fetch is wanted though nothing comes; 0 for not.
func (n *Node) FetchAt() ic.Time {
	if n.fetch == nil {
		return 0
	}
	return n.fetch.WakeAt()
}

// FetchKick tells that there is something for Fetch; nil: never.
func (n *Node) FetchKick() <-chan struct{} {
	if n.fetch == nil {
		return nil
	}
	return n.fetch.Kick()
}

// serveState answers a peer. Where the disk has not what it should, this node ends,
// and the peer is not to blame.
func (n *Node) serveState(request []byte) (answer []byte, err error) {
	defer func() {
		if p := recover(); p != nil {
			if n.Store.Err() == nil {
				panic(p)
			}
			answer, err = nil, nil
		}
	}()
	return n.source.Serve(request)
}

func (n *Node) fetches(ctx context.Context) error {
	if n.fetch == nil {
		<-ctx.Done()
		return nil
	}
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		if err := n.Fetch(); err != nil {
			return err
		}
		if at := n.FetchAt(); at != 0 {
			timer.Reset(time.Duration(max(int64(at)-int64(n.Clock.Now()), 0)))
		} else {
			timer.Stop()
		}
		select {
		case <-n.fetch.Kick():
		case <-timer.C:
		case <-ctx.Done():
			return nil
		}
	}
}
