package main

import "testing"

func TestMemTotal(t *testing.T) {
	if n, ok := memTotal("MemFree: 7 kB\nMemTotal:       2097152 kB\n"); !ok || n != 2<<30 {
		t.Errorf("got %d, %v", n, ok)
	}
	for _, bad := range []string{"", "MemTotal: x kB\n", "MemTotal: 0 kB\n", "MemTotal: 18446744073709551615 kB\n"} {
		if n, ok := memTotal(bad); ok {
			t.Errorf("%q gives %d", bad, n)
		}
	}
}
