package main

import (
	"strings"
	"testing"
)

func TestPortFrom(t *testing.T) {
	for text, want := range map[string]int{"": defaultPort, "1": 1, "65535": 65535} {
		if got, err := portFrom(text); err != nil || got != want {
			t.Errorf("PORT=%s: got %d, %v", text, got, err)
		}
	}
	for _, text := range []string{"abc", "0", "-1", "65536", "80 "} {
		if _, err := portFrom(text); err == nil || !strings.Contains(err.Error(), "1 to 65535") {
			t.Errorf("PORT=%s: got %v", text, err)
		}
	}
}
