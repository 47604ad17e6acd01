package ingress

import (
	"testing"

	"ashlar/replica/ic"
)

func TestAdmissible(t *testing.T) {
	const now = ic.Time(1_700_000_000_000_000_000)
	for _, c := range []struct {
		name   string
		expiry ic.Time
		ok     bool
	}{
		{"expired", now - 1, false},
		{"expires now", now, false},
		{"about to expire", now + 1, true},
		{"five minutes ahead", now + MaxTTL, true},
		{"by a clock that is fast", now + MaxTTL + Drift, true},
		{"too far ahead", now + MaxTTL + Drift + 1, false},
		{"at the end of time", 1<<64 - 1, false},
	} {
		if err := Admissible(c.expiry, now); (err == nil) != c.ok {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}
