package slots

import (
	"fmt"

	"ashlar/image/version"
)

// Prepare says that the partitions of s are about to be overwritten with a release. floor is the oldest release that may follow it.
func (r Record) Prepare(s Slot, release, floor string) (Record, error) {
	e, err := r.next(s, prepare)
	if err == nil {
		err = r.aboveFloor(release)
	}
	if err != nil {
		return r, err
	}
	if _, err := version.Parse(floor); err != nil {
		return r, fmt.Errorf("prepare slot %s: floor: %w", s, err)
	}
	return r.with(s, Entry{State: e.State, Version: release, Floor: floor}), nil
}

// Staged says that the release lies in s, checked and synced.
func (r Record) Staged(s Slot) (Record, error) {
	return r.move(s, staged)
}

// Arm says that the next boot is to be s, as a trial. A good slot that is not confirmed may be armed too: that is going back.
func (r Record) Arm(s Slot) (Record, error) {
	e, err := r.next(s, arm)
	if err == nil {
		err = r.aboveFloor(e.Version)
	}
	if err != nil {
		return r, err
	}
	e.Tries, e.Reason = 0, ""
	return r.with(s, e), nil
}

// Confirm says that s passed the health gate. It raises the floor to the one that came with the release.
func (r Record) Confirm(s Slot) (Record, error) {
	e, err := r.next(s, confirm)
	if err == nil && s != r.Confirmed && e.Tries == 0 {
		err = fmt.Errorf("slot %s cannot be confirmed: it was good once, but this boot was no trial of it; arm it first", s)
	}
	if err != nil {
		return r, err
	}
	e.Tries, e.Reason = 0, ""
	older, err := version.Older(r.Floor, e.Floor)
	if err != nil {
		return r, err
	}
	if older {
		r.Floor = e.Floor
	}
	r.Confirmed, r.Redirects = s, 0
	return r.with(s, e), nil
}

// Fail gives the release in s up, for a reason that people will read. The next boot is the confirmed slot.
func (r Record) Fail(s Slot, reason string) (Record, error) {
	if len(reason) > maxReasonBytes {
		reason = reason[:maxReasonBytes]
	}
	e, err := r.next(s, fail)
	if err != nil {
		return r, err
	}
	if r.Slots[s].State != Failed { // the first reason is the cause
		e.Reason = reason
	}
	return r.with(s, e), nil
}

func (r Record) move(s Slot, ev event) (Record, error) {
	e, err := r.next(s, ev)
	if err != nil {
		return r, err
	}
	return r.with(s, e), nil
}

// What to Do after a boot was observed.
type Do string

// The three answers of Booted.
const (
	Run      Do = "run"      // go on with this slot
	Redirect Do = "redirect" // set BootNext to the confirmed slot and reboot
	Halt     Do = "halt"     // neither is possible: stop and say why
)

// A Verdict tells the init how to go on. To is the slot to run or to reboot into.
type Verdict struct {
	Do  Do
	To  Slot
	Why string
}

// Booted is told which slot's image is running. Write the returned record before acting on the verdict.
func (r Record) Booted(s Slot) (Record, Verdict) {
	if s != A && s != B {
		return r, Verdict{Halt, r.Confirmed, fmt.Sprintf("the running image lies in no slot (%q)", s)}
	}
	if s == r.Confirmed {
		return r.settled(), Verdict{Run, s, "confirmed"}
	}
	e := r.Slots[s]
	_, bootable := table[e.State][boot]
	switch {
	case bootable && e.Tries < MaxTrials:
		e.State, e.Tries = Trial, e.Tries+1
		r.Redirects = 0
		return r.with(s, e), Verdict{Run, s, fmt.Sprintf("trial %d of %d of release %s", e.Tries, MaxTrials, e.Version)}
	case bootable:
		e.State, e.Reason = Failed, "it rebooted before it was confirmed"
		return r.with(s, e).redirect(s, "the trial of release "+e.Version+" is over")
	}
	return r.redirect(s, fmt.Sprintf("it is %s, not confirmed", e.State))
}

// settled is the record when the confirmed slot runs: whatever was on trial has come back without being confirmed.
func (r Record) settled() Record {
	r.Redirects = 0
	other := r.Confirmed.Other()
	e := r.Slots[other]
	switch e.State {
	case Armed:
		e.Reason = "the firmware did not start it"
	case Trial:
		e.Reason = "it rebooted before it was confirmed"
	default:
		return r
	}
	e.State = Failed
	return r.with(other, e)
}

// redirect asks for a reboot into the confirmed slot, a few times; then an old good release is better than none.
func (r Record) redirect(s Slot, why string) (Record, Verdict) {
	if r.Redirects < MaxRedirects {
		r.Redirects++
		return r, Verdict{Redirect, r.Confirmed, fmt.Sprintf("slot %s: %s; back to slot %s", s, why, r.Confirmed)}
	}
	e := r.Slots[s]
	if e.State == Good && r.aboveFloor(e.Version) == nil {
		return r, Verdict{Run, s, fmt.Sprintf("the firmware did not go to slot %s in %d reboots; slot %s was good before", r.Confirmed, MaxRedirects, s)}
	}
	return r, Verdict{Halt, r.Confirmed, fmt.Sprintf("slot %s: %s; the firmware did not go to slot %s in %d reboots: choose it in the firmware's boot menu",
		s, why, r.Confirmed, MaxRedirects)}
}
