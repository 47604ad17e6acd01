package upgrade

import (
	"bytes"
	"fmt"
	"testing"

	"ashlar/image/slots"
)

const maxBoots = 8 // a machine that has not settled by then never will

// holds says which release lies whole in a slot; "" if none boots from it, "half" if one boots and is not whole.
func (l *lab) holds(s slots.Slot) string {
	part := func(base string) []byte { return l.disk.parts[base+"-"+string(s)] }
	is := func(want func(payload string) []byte) bool {
		for payload, base := range partitions {
			if !bytes.HasPrefix(part(base), want(payload)) {
				return false
			}
		}
		return true
	}
	switch {
	case bytes.Equal(part("esp")[:headBytes], make([]byte, headBytes)):
		return ""
	case is(content):
		return "1.1.0"
	case is(func(string) []byte { return bytes.Repeat([]byte("old "+string(s)+" "), 20000) }):
		return "1.0.0"
	}
	return "half"
}

// choose is what a firmware does: its BootNext, its order, then any disk. One that forgot its variables takes what it finds first.
func (l *lab) choose(found slots.Slot) slots.Slot {
	once := l.fw.once
	l.fw.once = ""
	for _, s := range []slots.Slot{once, l.fw.first, found, found.Other()} {
		if s != "" && l.holds(s) != "" {
			return s
		}
	}
	return ""
}

// powerOn boots until a release runs for good: the init, hostd's first steps, and the health gate, which is passed. It returns
// false if the power went meanwhile.
func (l *lab) powerOn(found slots.Slot) (slots.Slot, bool) {
	l.t.Helper()
	l.disk.dark = false
	for range maxBoots {
		s := l.choose(found)
		release := l.holds(s)
		if release == "half" || s == "" {
			l.t.Fatalf("slot %q boots and is not whole: record %s", s, l.u.Record())
		}
		j, err := slots.Open(l.meta)
		if err != nil {
			l.t.Fatal(err)
		}
		v, err := j.Booted(s)
		if err != nil {
			return "", false
		}
		switch v.Do {
		case slots.Halt:
			l.t.Fatalf("halted: %s", v.Why)
		case slots.Redirect:
			if l.fw.BootFirst(v.To) != nil || l.fw.BootOnce(v.To) != nil {
				return "", false
			}
			continue
		}
		l.start(s, release)
		l.u.Settle() // an error is a note
		if l.u.OnTrial() && l.u.Confirm() != nil || l.disk.dark {
			return "", false
		}
		return s, true
	}
	l.t.Fatalf("still not settled after %d boots: %s", maxBoots, l.u.Record())
	return "", false
}

// The power goes at any step of an upgrade, its trial and its confirmation, the firmware keeps or forgets its variables, and
// finds the one or the other slot first: the machine comes up by itself, on a whole release, the confirmed one, and takes the next upgrade.
func TestAPowerCutAnywhereInTheLifeOfAnUpgrade(t *testing.T) {
	ends := map[string]int{}
	for _, forgets := range []bool{false, true} {
		for _, found := range []slots.Slot{slots.A, slots.B} {
			for cut, over := 1, false; !over; cut++ {
				t.Run(fmt.Sprintf("forgets %v, finds %s, cut %d", forgets, found, cut), func(t *testing.T) {
					l := newLab(t)
					l.fw.first = slots.A
					raw := l.bundle("1.1.0", nil)
					l.disk.left = cut
					_ = l.install(raw)
					if !l.disk.dark {
						_, on := l.powerOn(found)
						over = on && !l.disk.dark
					}
					l.disk.left = 0 // from here on the power stays
					if forgets {
						l.fw.first, l.fw.once = "", ""
					}
					s, on := l.powerOn(found)
					if r := l.u.Record(); !on || r.Confirmed != s || l.holds(s) != r.Slots[s].Version || l.fw.first != s {
						t.Fatalf("runs %s from slot %q, firmware first %q, record %s", l.holds(s), s, l.fw.first, r)
					}
					ends[l.holds(s)]++
					if err := l.install(raw); err != nil {
						t.Fatalf("the upgrade again: %v", err)
					}
					if s, on := l.powerOn(found); !on || l.holds(s) != "1.1.0" || l.u.Record().Confirmed != s {
						t.Errorf("after it: slot %s, record %s", s, l.u.Record())
					}
				})
				if t.Failed() {
					return
				}
			}
		}
	}
	if ends["1.0.0"] == 0 || ends["1.1.0"] == 0 {
		t.Errorf("%v: the test does not cut where it should", ends)
	}
	t.Logf("%d machines came up: %v", ends["1.0.0"]+ends["1.1.0"], ends)
}
