package slots

import (
	"strings"
	"testing"
)

func fresh(t testing.TB) Record {
	r, err := New("1.0.0", "1.0.0")
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// play runs a story: words separated by spaces, each a transition, and returns the last verdict and the first error.
func play(r Record, story string) (Record, Verdict, error) {
	var v Verdict
	for _, w := range strings.Fields(story) {
		name, arg, _ := strings.Cut(w, ":")
		s := Slot(arg)
		var err error
		switch name {
		case "prepare": // prepare:b=1.1.0/1.0.0
			slot, rest, _ := strings.Cut(arg, "=")
			release, floor, _ := strings.Cut(rest, "/")
			r, err = r.Prepare(Slot(slot), release, floor)
		case "staged":
			r, err = r.Staged(s)
		case "arm":
			r, err = r.Arm(s)
		case "boot":
			r, v = r.Booted(s)
		case "confirm":
			r, err = r.Confirm(s)
		case "fail":
			r, err = r.Fail(s, "the health gate said no")
		default:
			panic("no such transition: " + w)
		}
		if err != nil {
			return r, v, err
		}
	}
	return r, v, r.check()
}

const upgradeB = "prepare:b=1.1.0/1.0.0 staged:b arm:b "

func TestStories(t *testing.T) {
	for _, c := range []struct{ name, story, want string }{
		{"fresh", "boot:a", "run a; a: good 1.0.0 (confirmed); b: empty ; floor 1.0.0"},
		{"an upgrade", upgradeB + "boot:b confirm:b", "run b; a: good 1.0.0; b: good 1.1.0 (confirmed); floor 1.0.0"},
		{"the floor rises with confirm", "prepare:b=1.1.0/1.1.0 staged:b arm:b boot:b confirm:b", "run b; a: good 1.0.0; b: good 1.1.0 (confirmed); floor 1.1.0"},
		{"two upgrades", upgradeB + "boot:b confirm:b prepare:a=1.2.0/1.0.0 staged:a arm:a boot:a confirm:a",
			"run a; a: good 1.2.0 (confirmed); b: good 1.1.0; floor 1.0.0"},
		{"a trial that reboots", upgradeB + "boot:b boot:a", "run a; a: good 1.0.0 (confirmed); b: failed 1.1.0 (it rebooted before it was confirmed); floor 1.0.0"},
		{"a trial that reboots into itself", upgradeB + "boot:b boot:b",
			"redirect a; a: good 1.0.0 (confirmed); b: failed 1.1.0 (it rebooted before it was confirmed); floor 1.0.0"},
		{"a trial the firmware refused", upgradeB + "boot:a", "run a; a: good 1.0.0 (confirmed); b: failed 1.1.0 (the firmware did not start it); floor 1.0.0"},
		{"the health gate says no", upgradeB + "boot:b fail:b boot:a", "run a; a: good 1.0.0 (confirmed); b: failed 1.1.0 (the health gate said no); floor 1.0.0"},
		{"failed twice, first reason stays", upgradeB + "boot:b boot:b fail:b", "redirect a; a: good 1.0.0 (confirmed); b: failed 1.1.0 (it rebooted before it was confirmed); floor 1.0.0"},
		{"a failed slot is tried anew", upgradeB + "boot:b fail:b prepare:b=1.1.1/1.0.0 staged:b arm:b boot:b confirm:b",
			"run b; a: good 1.0.0; b: good 1.1.1 (confirmed); floor 1.0.0"},
		{"cut while writing", "prepare:b=1.1.0/1.0.0 boot:a", "run a; a: good 1.0.0 (confirmed); b: writing 1.1.0; floor 1.0.0"},
		{"a half-written slot is booted", "prepare:b=1.1.0/1.0.0 boot:b", "redirect a; a: good 1.0.0 (confirmed); b: writing 1.1.0; floor 1.0.0"},
		{"a staged slot is booted unarmed", "prepare:b=1.1.0/1.0.0 staged:b boot:b", "redirect a; a: good 1.0.0 (confirmed); b: staged 1.1.0; floor 1.0.0"},
		{"the firmware forgot its variables", upgradeB + "boot:b confirm:b boot:a", "redirect b; a: good 1.0.0; b: good 1.1.0 (confirmed); floor 1.0.0"},
		{"and keeps forgetting", upgradeB + "boot:b confirm:b boot:a boot:a boot:a boot:a", "run a; a: good 1.0.0; b: good 1.1.0 (confirmed); floor 1.0.0"},
		{"with an old release that is below the floor", "prepare:b=1.1.0/1.1.0 staged:b arm:b boot:b confirm:b boot:a boot:a boot:a boot:a",
			"halt b; a: good 1.0.0; b: good 1.1.0 (confirmed); floor 1.1.0"},
		{"with a failed release", upgradeB + "boot:b fail:b boot:b boot:b boot:b boot:b", "halt a; a: good 1.0.0 (confirmed); b: failed 1.1.0 (the health gate said no); floor 1.0.0"},
		{"going back by will", upgradeB + "boot:b confirm:b arm:a boot:a confirm:a", "run a; a: good 1.0.0 (confirmed); b: good 1.1.0; floor 1.0.0"},
		{"no such slot", "boot:c", "halt a; a: good 1.0.0 (confirmed); b: empty ; floor 1.0.0"},
	} {
		r, v, err := play(fresh(t), c.story)
		if got := string(v.Do) + " " + string(v.To) + "; " + r.String(); err != nil || got != c.want {
			t.Errorf("%s\n   %s\n  got  %s (%s) %v\n  want %s", c.name, c.story, got, v.Why, err, c.want)
		}
	}
}

func TestRefusedTransitions(t *testing.T) {
	for story, want := range map[string]string{
		"prepare:a=1.1.0/1.0.0":            "confirmed",
		"fail:a":                           "confirmed",
		"arm:a":                            "confirmed",
		"staged:b":                         "it is empty",
		"arm:b":                            "it is empty",
		"confirm:b":                        "it is empty",
		"prepare:b=1.1.0/1.0.0 arm:b":      "it is writing",
		"prepare:b=1.1.0/1.0.0 confirm:b":  "it is writing",
		upgradeB + "confirm:b":             "it is armed",
		upgradeB + "prepare:b=1.2.0/1.0.0": "it is armed",
		upgradeB + "boot:b prepare:b=1.2.0/1.0.0":                                          "it is trial",
		upgradeB + "boot:b fail:b confirm:b":                                               "it is failed",
		upgradeB + "boot:b fail:b arm:b":                                                   "it is failed",
		upgradeB + "boot:b confirm:b confirm:a":                                            "no trial",
		"prepare:b=0.9.0/0.9.0":                                                            "older than 1.0.0",
		"prepare:b=one/1.0.0":                                                              "not a version",
		"prepare:b=1.1.0/one":                                                              "not a version",
		"prepare:c=1.1.0/1.0.0":                                                            "there are slots a and b",
		"prepare:b=1.1.0/1.1.0 staged:b arm:b boot:b confirm:b arm:a":                      "older than 1.1.0",
		"prepare:b=1.1.0/1.1.0 staged:b arm:b boot:b confirm:b prepare:a=1.0.5/1.0.0":      "older than 1.1.0",
		"prepare:b=1.1.0-rc.1/1.0.0 staged:b arm:b boot:b confirm:b prepare:b=1.2.0/1.0.0": "confirmed",
	} {
		if _, _, err := play(fresh(t), story); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want an error with %q", story, err, want)
		}
	}
}

// Every transition done twice leaves what it left the first time; Booted of a trial is the one that must not.
func TestIdempotent(t *testing.T) {
	story := strings.Fields(upgradeB + "boot:b confirm:b boot:b prepare:a=1.2.0/1.0.0 staged:a arm:a boot:a fail:a boot:b")
	for i, last := range story {
		if i == 3 || i == 9 { // the trial boots
			continue
		}
		once, _, err := play(fresh(t), strings.Join(story[:i+1], " "))
		twice, _, err2 := play(once, last)
		if err != nil || err2 != nil || once.String() != twice.String() {
			t.Errorf("%s twice: %v, %v\n  %s\n  %s", last, err, err2, once, twice)
		}
	}
}

// Whatever happens in whatever order, the confirmed slot is good and never written, and a trial boots once.
func TestAnyOrderKeepsTheInvariants(t *testing.T) {
	moves := []string{"prepare:a=1.1.0/1.0.0", "prepare:b=1.1.0/1.0.0", "staged:a", "staged:b", "arm:a", "arm:b", "boot:a", "boot:b", "confirm:a", "confirm:b", "fail:a", "fail:b"}
	seen := map[string]bool{}
	queue := []Record{fresh(t)}
	for len(queue) > 0 {
		r := queue[0]
		queue = queue[1:]
		for _, m := range moves {
			next, v, err := play(r, m)
			if err != nil {
				next = r
			}
			if err := next.check(); err != nil {
				t.Fatalf("%s, then %s: %v", r, m, err)
			}
			if v.Do == Run && (next.Slots[v.To].State == Writing || next.Slots[v.To].State == Failed || next.Slots[v.To].State == Staged) {
				t.Fatalf("%s, then %s: runs a slot that is %s", r, m, next.Slots[v.To].State)
			}
			if next.Confirmed != r.Confirmed && !strings.HasPrefix(m, "confirm") {
				t.Fatalf("%s: %s changed the confirmed slot", r, m)
			}
			raw, err := Encode(next)
			if err != nil {
				t.Fatal(err)
			}
			if !seen[string(raw)] {
				seen[string(raw)] = true
				queue = append(queue, next)
			}
		}
	}
	t.Logf("%d records can be reached", len(seen))
}
