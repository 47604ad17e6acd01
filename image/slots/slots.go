// Package slots keeps the A/B state of a machine's disk: what lies in each slot, and which one has proved itself.
//
//	          Prepare            Staged           Arm             Booted            Confirm
//	empty ───────────> writing ────────> staged ───────> armed ──────────> trial ───────────> good
//	                      ^                                │                 │                 │
//	                      │                     Booted(the confirmed slot)   │ Booted again,    │ Prepare, Arm:
//	                      │                                v                 v Fail             │ if not confirmed
//	                      └──────── Prepare ─────────── failed <─────────────┘                  v
//
// One slot at a time is confirmed: it is good, it is never written, and everything falls back to it, by record and not to
// "the other one". A transition is a function of the record; done twice it is as if done once. Duties of the caller:
//
//	Prepare, then write the slot's partitions, sync them, then Staged; Arm before BootNext is set; Booted early in each boot,
//	before anything of the slot is trusted; Confirm only behind the health gate.
//
// A trial that reboots before Confirm has failed, whatever the reason. Slots does not choose a version, touch a partition or
// set a firmware variable: see hostos/upgrade, initramfs and hardware/efi. Journal keeps a record on the meta partition.
package slots

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"ashlar/image/version"
)

const (
	MaxTrials      = 1 // boots that a staged release gets to prove itself: BootNext gives one
	MaxRedirects   = 3 // reboots towards the confirmed slot before a firmware that ignores them is believed
	maxReasonBytes = 256
)

// A Slot is "a" or "b".
type Slot string

// The two slots.
const (
	A Slot = "a"
	B Slot = "b"
)

// Other is the slot that s is not.
func (s Slot) Other() Slot {
	if s == A {
		return B
	}
	return A
}

// A State of a slot: see the picture.
type State string

// The states.
const (
	Empty   State = "empty"
	Writing State = "writing"
	Staged  State = "staged"
	Armed   State = "armed"
	Trial   State = "trial"
	Good    State = "good"
	Failed  State = "failed"
)

type event string

const (
	prepare event = "be written"
	staged  event = "be staged"
	arm     event = "be armed"
	boot    event = "boot"
	confirm event = "be confirmed"
	fail    event = "fail"
)

// table is the picture. What is not in it is refused.
var table = map[State]map[event]State{
	Empty:   {prepare: Writing},
	Writing: {prepare: Writing, staged: Staged, fail: Failed},
	Staged:  {prepare: Writing, staged: Staged, arm: Armed, fail: Failed},
	Armed:   {arm: Armed, boot: Trial, fail: Failed},
	Trial:   {boot: Trial, confirm: Good, fail: Failed},
	Good:    {prepare: Writing, arm: Armed, confirm: Good},
	Failed:  {prepare: Writing, fail: Failed},
}

// A Record is the whole state. Its zero value is not valid: see New.
type Record struct {
	Sequence  uint64         `json:"sequence"`  // counts writes; Journal's
	Confirmed Slot           `json:"confirmed"` // where everything falls back to
	Floor     string         `json:"floor"`     // no older release may be installed or armed
	Redirects int            `json:"redirects"` // reboots in a row that did not reach the confirmed slot
	Slots     map[Slot]Entry `json:"slots"`
}

// An Entry is what the record says of one slot.
type Entry struct {
	State   State  `json:"state"`
	Version string `json:"version,omitempty"`
	Floor   string `json:"floor,omitempty"`  // becomes the record's when the slot is confirmed
	Tries   int    `json:"tries,omitempty"`  // boots as a trial
	Reason  string `json:"reason,omitempty"` // why it failed, for people
}

// New is the record of a fresh disk: the release in slot A, confirmed.
func New(release, floor string) (Record, error) {
	r := Record{Confirmed: A, Floor: floor, Slots: map[Slot]Entry{
		A: {State: Good, Version: release, Floor: floor},
		B: {State: Empty},
	}}
	return r, r.check()
}

// check holds what is true of every record.
func (r Record) check() error {
	if len(r.Slots) != 2 || r.Slots[r.Confirmed].State != Good {
		return fmt.Errorf("slot record: the confirmed slot %q is not a good one", r.Confirmed)
	}
	if _, err := version.Parse(r.Floor); err != nil {
		return fmt.Errorf("slot record: floor: %w", err)
	}
	for _, s := range []Slot{A, B} {
		e, ok := r.Slots[s]
		if !ok || table[e.State] == nil || e.Tries < 0 || e.Tries > MaxTrials || len(e.Reason) > maxReasonBytes {
			return fmt.Errorf("slot record: slot %s is not in a state that there is: %+v", s, e)
		}
		if e.State == Empty {
			continue
		}
		for _, v := range []string{e.Version, e.Floor} {
			if _, err := version.Parse(v); err != nil {
				return fmt.Errorf("slot record: slot %s: %w", s, err)
			}
		}
	}
	if r.Redirects < 0 || r.Redirects > MaxRedirects {
		return fmt.Errorf("slot record: %d redirects", r.Redirects)
	}
	return nil
}

// Idle is the slot that a release may be written to.
func (r Record) Idle() Slot { return r.Confirmed.Other() }

// String is one line for a console.
func (r Record) String() string {
	var b strings.Builder
	for _, s := range []Slot{A, B} {
		e := r.Slots[s]
		fmt.Fprintf(&b, "%s: %s %s", s, e.State, e.Version)
		if s == r.Confirmed {
			b.WriteString(" (confirmed)")
		}
		if e.Reason != "" {
			fmt.Fprintf(&b, " (%s)", e.Reason)
		}
		b.WriteString("; ")
	}
	return b.String() + "floor " + r.Floor
}

// with is r with slot s replaced; r itself stays as it was.
func (r Record) with(s Slot, e Entry) Record {
	r.Slots = maps.Clone(r.Slots)
	r.Slots[s] = e
	return r
}

// next looks the event up.
func (r Record) next(s Slot, ev event) (Entry, error) {
	if s != A && s != B {
		return Entry{}, fmt.Errorf("slot %q cannot %s: there are slots a and b", s, ev)
	}
	e := r.Slots[s]
	if s == r.Confirmed && ev != confirm {
		return e, fmt.Errorf("slot %s cannot %s: it is the confirmed one, which a fallback needs; use slot %s", s, ev, s.Other())
	}
	to, ok := table[e.State][ev]
	if !ok {
		return e, fmt.Errorf("slot %s cannot %s: it is %s (possible from: %s)", s, ev, e.State, strings.Join(sources(ev), ", "))
	}
	e.State = to
	return e, nil
}

func sources(ev event) []string {
	var out []string
	for s, row := range table {
		if _, ok := row[ev]; ok {
			out = append(out, string(s))
		}
	}
	return slices.Sorted(slices.Values(out))
}

func (r Record) aboveFloor(release string) error {
	older, err := version.Older(release, r.Floor)
	if err == nil && older {
		err = fmt.Errorf("release %s is older than %s, the oldest that this machine still takes: an old release could bring back a mended hole", release, r.Floor)
	}
	return err
}
