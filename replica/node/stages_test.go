package node

import (
	"testing"

	"ashlar/replica/ic"
)

func TestTimeline(t *testing.T) {
	l := newTimeline()
	l.begin(1, 10)
	l.begin(1, 11) // a second block of the height
	l.end(1, Executed, 12)
	l.end(1, Agreed, 15)
	l.end(1, Executed, 18)
	l.begin(2, 16)
	l.end(2, Agreed, 20)
	l.end(2, Shown, 90) // certified before it was executed here: not measured, and over
	l.end(2, Executed, 91)
	l.end(1, Shown, 92)
	l.end(7, Agreed, 93)
	want := [stages]Spent{{2, 9}, {1, 3}, {0, 0}}
	if l.spent != want || len(l.began) != 0 || len(l.next) != 0 {
		t.Errorf("%v, want %v; %d are left", l.spent, want, len(l.began))
	}
	l.begin(3, 100)
	l.end(3, Agreed, 99) // a clock that was set back
	l.end(3, Executed, 100)
	l.end(3, Shown, 107)
	if got := l.spent[Shown]; got != (Spent{1, 7}) {
		t.Errorf("shown: %v", got)
	}
	for h := range ic.Height(10 * maxTimed) {
		l.begin(h, 1)
	}
	if len(l.began) != maxTimed {
		t.Errorf("%d heights are measured at a time", len(l.began))
	}
}
