// Package sim runs the real node from a seed: its consensus, store and recovery
// on a clock, a disk and users that the seed plays.
//
//	seed ── picks ──> Step | Execute | Save | a user's call | time passes | crash
//	                          each leaves a line in the trace
//
// Crashes lose what was not synced. Checked at every step: no call that was
// answered is lost, none is executed twice, the certified height and time never
// go back, and every state is the one that a node that never stopped would have.
// The same seed gives the same trace.
//
// Networks of several nodes come with replica/p2p (issue "A subnet survives its
// nodes"); until then Run refuses them.
package sim

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"ashlar/replica/consensus"
	"ashlar/replica/crypto/bls"
	"ashlar/replica/crypto/keystore"
	"ashlar/replica/ic"
	"ashlar/replica/ingress"
	"ashlar/replica/node"
	"ashlar/replica/state"
	"ashlar/replica/store"
)

// Options of a run.
type Options struct {
	Seed  uint64
	Nodes int
	Turns int
	// SkipSync plants a bug: the disk says that it synced and did not.
	SkipSync bool
}

// Result of a run.
type Result struct {
	Height           ic.Height
	Answered         int
	Crashes          int
	Trace            [32]byte // hash of all that happened
	Violation        error    // nil: all invariants held
	ViolationAtTurns int
}

// world is one node with all that surrounds it.
type world struct {
	Options
	rng   *rand.Rand
	now   ic.Time
	trace []byte

	disk  *vfs.MemFS
	store *store.Store
	node  *node.Node
	cfg   node.Config
	truth *truth

	sent     []ic.Ingress
	answered map[ic.RequestID]string
	seen     *node.View // the latest that anybody saw
	crashes  int
}

// Run plays one seed.
func Run(o Options) (Result, error) {
	if o.Nodes != 1 {
		return Result{}, fmt.Errorf("sim: %d nodes: networks of more than one node need replica/p2p, which is not built yet\n  use -nodes 1", o.Nodes)
	}
	w, err := newWorld(o)
	if err != nil {
		return Result{}, err
	}
	r := Result{}
	for turn := range o.Turns {
		if err := w.turn(); err != nil {
			if !isViolation(err) {
				return r, err
			}
			r.Violation, r.ViolationAtTurns = err, turn
			break
		}
	}
	if r.Violation == nil {
		r.Violation = w.settle()
	}
	r.Answered, r.Crashes, r.Trace = len(w.answered), w.crashes, sha256.Sum256(w.trace)
	if w.seen != nil {
		r.Height = w.seen.Height
	}
	if w.store == nil {
		return r, nil
	}
	return r, w.store.Close()
}

// violation is an invariant that does not hold.
type violation string

func (v violation) Error() string { return string(v) }

func isViolation(err error) bool { var v violation; return errors.As(err, &v) }

func violated(format string, args ...any) error { return violation(fmt.Sprintf(format, args...)) }

func newWorld(o Options) (*world, error) {
	w := &world{Options: o, rng: rand.New(rand.NewPCG(o.Seed, 1)), now: 1_700_000_000_000_000_000,
		disk: vfs.NewCrashableMem(), truth: newTruth(), answered: map[ic.RequestID]string{}}
	var source [32]byte
	binary.LittleEndian.PutUint64(source[:], o.Seed)
	group, shares, err := bls.Deal(rand.NewChaCha8(source), 1, 1)
	if err != nil {
		return nil, err
	}
	keys := keystore.FromSeeds(source, shares[0])
	subnet := ic.SubnetID{Principal: ic.SelfAuthenticating(group.Key.DER())}
	w.cfg = node.Config{
		Subnet: state.Subnet{ID: subnet, Type: "application", PublicKey: group.Key.DER(), RootKey: group.Key.DER(),
			Ranges: []ic.CanisterRange{{First: ic.CanisterIDFromUint64(0), Last: ic.CanisterIDFromUint64(9)}},
			Nodes:  []state.Node{{ID: keys.NodeID(), PublicKey: keys.NodeDER()}}},
		Members: []consensus.Member{{Node: keys.NodeID(), Key: keys.NodeKey()}},
		Group:   group, Registry: 1, Genesis: w.now, Keys: keys, Machine: w.truth, Clock: w,
		Pace: consensus.DefaultPace, Limits: ingress.Limits{Messages: 50, Bytes: 1 << 20, SenderMessages: 50, SenderBytes: 1 << 20}, Parse: parse,
	}
	return w, w.start()
}

// Now is the node's clock.
func (w *world) Now() ic.Time { return w.now }

func (w *world) start() (err error) {
	o := store.Options{FS: w.disk}
	if w.SkipSync {
		o.FS = lyingDisk{w.disk}
	}
	if w.store, err = store.Open("state", o); err == nil {
		w.cfg.Store = w.store
		w.node, err = node.New(w.cfg)
	}
	if err != nil && w.crashes > 0 {
		return violated("after a crash the node does not start: %v", err)
	}
	return err
}

// crash loses all that was not synced, or (a process that was killed) nothing.
func (w *world) crash() error {
	w.crashes++
	after := w.disk
	if power := w.rng.IntN(3) > 0; power {
		after = w.disk.CrashClone(vfs.CrashCloneCfg{})
		w.log("power cut")
	} else {
		w.log("killed")
	}
	if err := w.store.Close(); err != nil {
		return err
	}
	w.disk = after
	if w.rng.IntN(8) == 0 { // the clock of the machine was set back
		w.now -= ic.Time(w.rng.Int64N(int64(time.Hour)))
	}
	return w.start()
}

// turn does one thing that the seed picks.
func (w *world) turn() error {
	var err error
	switch p := w.rng.IntN(100); {
	case p < 30:
		w.log("step")
		err = w.node.Step()
	case p < 55:
		w.log("execute %t", w.node.Execute())
	case p < 65:
		var saved bool
		saved, err = w.node.Save()
		w.log("save %t", saved)
	case p < 80:
		err = w.call()
	case p < 98:
		d := time.Duration(w.rng.Int64N(int64(200 * time.Millisecond)))
		if w.rng.IntN(50) == 0 {
			d = time.Duration(w.rng.Int64N(int64(time.Minute)))
		}
		w.now += ic.Time(d)
		w.log("time %d", w.now)
	default:
		err = w.crash()
	}
	if err != nil {
		return err
	}
	return w.check()
}

func (w *world) log(format string, args ...any) {
	w.trace = fmt.Appendf(w.trace, format+"\n", args...)
}

// settle lets everything come to its end: each call that the pool took since
// the last crash is answered.
func (w *world) settle() error {
	for range 200 {
		if err := w.node.Step(); err != nil {
			return err
		}
		for w.node.Execute() {
		}
		if _, err := w.node.Save(); err != nil {
			return err
		}
		w.now += ic.Time(50 * time.Millisecond)
		if err := w.check(); err != nil {
			return err
		}
	}
	if m := w.node.Metrics(); m.Pool > 0 {
		return violated("%d calls are never executed", m.Pool)
	}
	if w.seen == nil {
		return violated("there is no certified state")
	}
	return nil
}

// check compares what a reader sees with all that was seen before.
func (w *world) check() error {
	if t := w.truth.wrong; t != nil {
		return t
	}
	v := w.node.View()
	if v == nil || w.seen == v {
		return nil
	}
	if old := w.seen; old != nil {
		switch {
		case v.Height < old.Height:
			return violated("certified height %d was seen, and then %d", old.Height, v.Height)
		case v.Height == old.Height && v.Tree().Digest() != old.Tree().Digest():
			return violated("two certified states of height %d", v.Height)
		case v.Height > old.Height && v.Time <= old.Time:
			return violated("time %d at height %d, then %d at %d", old.Time, old.Height, v.Time, v.Height)
		}
	}
	w.seen = v
	d := v.Tree().Digest()
	if err := w.cfg.Group.Key.Verify(append([]byte("\x0dic-state-root"), d[:]...), v.Signature); err != nil {
		return violated("the certificate of height %d: %v", v.Height, err)
	}
	w.log("certified %d %x", v.Height, d)
	return w.answers(v)
}

// answers collects new ones and compares old ones.
func (w *world) answers(v *node.View) error {
	for _, msg := range w.sent {
		c := v.State.Status(msg.ID)
		old, was := w.answered[msg.ID]
		switch {
		case c == nil && was && v.Time < msg.Expiry:
			return violated("call %x was answered and is unknown at height %d", msg.ID[:4], v.Height)
		case c == nil:
		case was && string(c.Reply) != old:
			return violated("call %x was answered %q and then %q", msg.ID[:4], old, c.Reply)
		default:
			w.answered[msg.ID] = string(c.Reply)
		}
	}
	return nil
}

// Story is the trace as text, for a seed that failed.
func Story(o Options) string {
	w, err := newWorld(o)
	if err != nil {
		return err.Error()
	}
	defer w.store.Close()
	for range o.Turns {
		if err := w.turn(); err != nil {
			w.log("VIOLATION %v", err)
			break
		}
	}
	lines := strings.Split(strings.TrimSpace(string(w.trace)), "\n")
	return strings.Join(lines[max(0, len(lines)-60):], "\n")
}
