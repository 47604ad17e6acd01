package sim

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/cockroachdb/pebble/v2/vfs"

	"ashlar/replica/execution/canister"
	"ashlar/replica/ic"
	"ashlar/replica/messaging"
	"ashlar/replica/node"
	"ashlar/replica/state"
)

// truth is the state machine of the simulation: it answers each call with a
// count, and remembers every batch of every height over all crashes.
type truth struct {
	batches map[ic.Height][32]byte
	roots   map[ic.Height][32]byte
	when    map[ic.RequestID]ic.Height
	wrong   error
}

func newTruth() *truth {
	return &truth{batches: map[ic.Height][32]byte{}, roots: map[ic.Height][32]byte{}, when: map[ic.RequestID]ic.Height{}}
}

// Apply is deterministic; what it notes beside is the simulation's.
func (t *truth) Apply(s *state.State, b *messaging.Batch) *state.State {
	d := s.Draft()
	if b.Height != s.Height()+1 || b.Time <= s.Time() {
		t.wrong = violated("batch %d at %d after height %d at %d", b.Height, b.Time, s.Height(), s.Time())
	}
	d.Head.Height, d.Head.Time = b.Height, b.Time
	d.Forget(b.Time)
	h := sha256.New()
	fmt.Fprint(h, b.Time, b.Randomness)
	for _, msg := range b.Ingress {
		fmt.Fprint(h, msg)
		if at, ok := t.when[msg.ID]; ok && at != b.Height {
			t.wrong = violated("call %x is executed at height %d and at %d", msg.ID[:4], at, b.Height)
		}
		t.when[msg.ID] = b.Height
		d.Head.Updates++
		d.SetCall(msg.ID, &state.Call{State: state.Replied, Reply: fmt.Appendf(nil, "%d", d.Head.Updates),
			Sender: msg.Sender, Effective: msg.Effective, Expiry: msg.Expiry, Updated: b.Time})
	}
	next := d.Seal()
	t.compare(t.batches, b.Height, [32]byte(h.Sum(nil)), "batch")
	t.compare(t.roots, b.Height, next.Tree().Digest(), "state")
	return next
}

// compare what is executed again with what was executed first.
func (t *truth) compare(m map[ic.Height][32]byte, h ic.Height, now [32]byte, what string) {
	if old, ok := m[h]; ok && old != now {
		t.wrong = violated("another %s of height %d after a crash", what, h)
	}
	m[h] = now
}

// Query, Recall and Inspect are not played yet.
func (t *truth) Query(*state.State, *ic.Query, ic.Time, func() []byte, func() bool) *canister.Answer {
	return &canister.Answer{}
}

// Recall remembers nothing.
func (t *truth) Recall(*state.State, *ic.Query, ic.Time) *canister.Answer { return nil }

// Inspect lets all calls pass.
func (t *truth) Inspect(*state.State, *ic.Ingress, ic.Time) *ic.UserError { return nil }

// call sends a new call, or an old one again.
func (w *world) call() error {
	var msg ic.Ingress
	if n := len(w.sent); n > 0 && w.rng.IntN(4) == 0 {
		msg = w.sent[w.rng.IntN(n)]
	} else {
		msg = ic.Ingress{Sender: ic.Principal([]byte{byte(w.rng.IntN(3))}), Expiry: w.now + ic.Time(1+w.rng.Int64N(300e9))}
		binary.BigEndian.PutUint64(msg.ID[:], w.rng.Uint64())
		w.sent = append(w.sent, msg)
	}
	raw := binary.BigEndian.AppendUint64(msg.ID[:], uint64(msg.Expiry))
	err := w.node.Submit(context.Background(), append(raw, msg.Sender...), &msg)
	if errors.Is(err, node.ErrBusy) || err == nil {
		w.log("call %x %v", msg.ID[:4], err)
		return nil
	}
	w.log("call %x %v", msg.ID[:4], err) // it has expired
	return nil
}

func parse(raw []byte) (*ic.Ingress, error) {
	if len(raw) < 40 {
		return nil, errors.New("a call of the simulation has 40 bytes")
	}
	return &ic.Ingress{ID: [32]byte(raw[:32]), Expiry: ic.Time(binary.BigEndian.Uint64(raw[32:])), Sender: ic.Principal(raw[40:])}, nil
}

// lyingDisk says that it synced, and did not.
type lyingDisk struct{ vfs.FS }

func (d lyingDisk) Create(name string, c vfs.DiskWriteCategory) (vfs.File, error) {
	f, err := d.FS.Create(name, c)
	return lyingFile{f}, err
}

func (d lyingDisk) ReuseForWrite(oldname, newname string, c vfs.DiskWriteCategory) (vfs.File, error) {
	f, err := d.FS.ReuseForWrite(oldname, newname, c)
	return lyingFile{f}, err
}

type lyingFile struct{ vfs.File }

func (lyingFile) Sync() error                  { return nil }
func (lyingFile) SyncData() error              { return nil }
func (lyingFile) SyncTo(n int64) (bool, error) { return true, nil }
