package main

import (
	"strings"
	"testing"
)

func TestTrim(t *testing.T) {
	for _, c := range []struct{ cache, args, want string }{
		{"/m", "-p x -trimpath a=>b; f.s", "-p x -trimpath a=>b;/m=> f.s"},
		{"/m", "-trimpath=a=>b f.s", "-trimpath=a=>b;/m=> f.s"},
		{"/m", "-p x f.s", "-p x f.s"},
		{"", "-trimpath a=>b f.s", "-trimpath a=>b f.s"},
	} {
		if got := strings.Join(trim(strings.Fields(c.args), c.cache), " "); got != c.want {
			t.Errorf("%s: got %s, want %s", c.args, got, c.want)
		}
	}
}
