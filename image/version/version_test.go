package version

import "testing"

func TestOrder(t *testing.T) {
	// The example of SemVer section 11, and neighbours; each is older than the next.
	order := []string{"0.0.0", "0.9.10", "1.0.0-0", "1.0.0-2", "1.0.0-10", "1.0.0-alpha", "1.0.0-alpha.1", "1.0.0-alpha.beta", "1.0.0-beta",
		"1.0.0-beta.2", "1.0.0-beta.11", "1.0.0-rc.1", "1.0.0", "1.0.1", "1.2.0", "1.10.0", "2.0.0"}
	for i, a := range order {
		for j, b := range order {
			older, err := Older(a, b)
			if err != nil || older != (i < j) {
				t.Errorf("Older(%s, %s) = %v, %v", a, b, older, err)
			}
		}
	}
	if older, err := Older("1.0.0+a", "1.0.0+b"); older || err != nil {
		t.Errorf("build metadata was compared: %v, %v", older, err)
	}
}

func TestRefused(t *testing.T) {
	for _, s := range []string{"", "1", "1.2", "1.2.3.4", "v1.2.3", "01.2.3", "1.2.-3", "1.2.3-", "1.2.3-01", "1.2.3-a..b", "1.2.3+", "1.2.3-ü", "1.2.3 ",
		"99999999999999999999.0.0", "1.0.0-aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"} {
		if _, err := Parse(s); err == nil {
			t.Errorf("%q was accepted", s)
		}
	}
}
