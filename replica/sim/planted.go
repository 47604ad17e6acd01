package sim

import (
	"ashlar/replica/consensus"
	"ashlar/replica/crypto/bls"
	"ashlar/replica/ic"
	"ashlar/replica/messaging"
	"ashlar/replica/node"
	"ashlar/replica/state"
	"ashlar/replica/wire/cbor"
)

// maxTTL of a user's call.
const maxTTL ic.Time = 600e9

// odd is a scheme that does not look at what it takes.
type odd struct {
	consensus.Scheme
	bug Bug
}

// Key is odd too.
func (o odd) Key(transcript []byte) (consensus.Key, error) {
	k, err := o.Scheme.Key(transcript)
	return oddKey{k.(*cheapKey), o.bug}, err
}

// Session makes odd keys.
func (o odd) Session(d *consensus.Deal) (consensus.Session, error) {
	own := *d
	if p, ok := d.Previous.(oddKey); ok {
		own.Previous = p.cheapKey
	}
	s, err := o.Scheme.Session(&own)
	return oddSession{s, o.bug}, err
}

type oddKey struct {
	*cheapKey
	bug Bug
}

// Combine is right as long as all shares are.
func (k oddKey) Combine(message []byte, shares []bls.Share) ([]byte, []int, error) {
	sig, bad, err := k.cheapKey.Combine(message, shares)
	if k.bug == TakeBadShares && len(bad) > 0 {
		sig, bad, err = append([]byte{0x80}, make([]byte, groupBytes-1)...), nil, nil
	}
	return sig, bad, err
}

// Verify believes.
func (k oddKey) Verify(message, sig []byte) error {
	if k.bug == Credulous {
		return nil
	}
	return k.cheapKey.Verify(message, sig)
}

type oddSession struct {
	consensus.Session
	bug Bug
}

// badDealing was taken all the same.
type badDealing struct{ dealer int }

// Verify trusts.
func (s oddSession) Verify(dealer int, raw []byte) (consensus.Dealing, error) {
	d, err := s.Session.Verify(dealer, raw)
	if err != nil && s.bug == TrustDealings {
		return badDealing{dealer}, nil
	}
	return d, err
}

// Combine makes a key that is no good of a dealing that is not.
func (s oddSession) Combine(dealings []consensus.Dealing) (consensus.Key, error) {
	broken := false
	good := make([]consensus.Dealing, len(dealings))
	for i, d := range dealings {
		good[i] = d
		if bad, ok := d.(badDealing); ok {
			good[i], broken = bad.dealer, true
		}
	}
	k, err := s.Session.Combine(good)
	if err != nil {
		return nil, err
	}
	key := k.(*cheapKey)
	if broken {
		content := key.cheapContent
		content.Broken = true
		if k, err = key.scheme.Key(cbor.Marshal(content)); err != nil {
			return nil, err
		}
		key = k.(*cheapKey)
	}
	return oddKey{key, s.bug}, nil
}

// losing keeps the shares that a node begins with, and half of the later ones.
type losing struct {
	node.Keys
	first map[[32]byte]bool
}

// Keep says that it has them all.
func (l *losing) Keep(keys []consensus.Key) (lost, err error) {
	if l.first == nil {
		l.first = map[[32]byte]bool{}
		for _, k := range keys {
			l.first[k.Hash()] = true
		}
	}
	var kept []consensus.Key
	for _, k := range keys {
		if h := k.Hash(); l.first[h] || h[0]%2 == 0 {
			kept = append(kept, k)
		}
	}
	return l.Keys.Keep(kept)
}

// hasty purges too much, or says that a state is saved which is not.
type hasty struct {
	*guarded
	bug Bug
}

// SaveState leaves out every other state, or purges what a restart needs.
func (h *hasty) SaveState(next, old *state.State) error {
	if h.bug == UnsavedState && next.Height()%2 == 0 {
		return nil
	}
	err := h.guarded.SaveState(next, old)
	if err == nil && h.bug == PurgeEarly {
		err = h.guarded.Purge(next.Height())
	}
	return err
}

// latest version is what it answers for each.
type latest struct{ consensus.Registry }

// At the latest version.
func (l latest) At(uint64) (*consensus.Record, error) { return l.Registry.At(l.Latest()) }

// sloppy is a state machine that does what it does on all nodes alike, and wrong.
type sloppy struct {
	node.Machine
	bug      Bug
	interval ic.Height
}

// Apply is right but for what waits at its end.
func (m *sloppy) Apply(s *state.State, b *messaging.Batch) *state.State {
	after := m.Machine.Apply(s, b)
	if m.bug == ForgetCallback && after.Height()%m.interval != 0 {
		return after
	}
	d := after.Draft()
	after.Canisters(func(c *state.Canister) bool {
		if next := *c; m.spoil(after, &next) {
			d.Put(&next)
		}
		return true
	})
	return d.Seal()
}

// spoil one thing that waits, if there is one.
func (m *sloppy) spoil(s *state.State, c *state.Canister) (done bool) {
	if m.bug == ForgetCallback {
		key, _, ok := c.Callbacks.First()
		if ok {
			c.RemoveCallback(state.Number(key))
		}
		return ok
	}
	c.Queue.Each(func(key string, msg *state.Message) bool {
		switch from := s.Canister(ic.CanisterID{Principal: msg.Origin.Caller}); {
		case m.bug == AnswerTwice && msg.Origin.Kind == state.Response:
			c.Push(msg)
			done = true
		case m.bug == LoseCrossing && msg.Origin.Kind == state.Request && from.LastRound == s.Height() && c.LastRound == s.Height() && c.Long == nil:
			c.Take(key)
			done = true
		}
		return !done
	})
	return done
}
