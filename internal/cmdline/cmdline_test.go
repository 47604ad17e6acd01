package cmdline

import (
	"strings"
	"testing"
)

const root = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"

func TestParse(t *testing.T) {
	c, err := Parse("console=ttyS0 quiet ashlar.role=guest ashlar.version=0.1.0 ashlar.root=" + root + " ashlar.blocks=20480 panic=5\n")
	if err != nil {
		t.Fatal(err)
	}
	if c.Role != Guest || c.Version != "0.1.0" || c.RootHex() != root || c.Blocks != 20480 {
		t.Fatalf("%+v", c)
	}
}

func TestParseRefuses(t *testing.T) {
	good := "ashlar.role=host ashlar.version=1 ashlar.root=" + root + " ashlar.blocks=1"
	for _, tc := range []struct{ line, says string }{
		{"quiet", "lacks ashlar.role"},
		{strings.Replace(good, "ashlar.blocks=1", "", 1), "lacks ashlar.blocks"},
		{good + " ashlar.config.ipv4=none", "unknown word"},
		{good + " ashlar.debug", "unknown word"},
		{good + " ashlar.root=" + root, "twice"},
		{strings.Replace(good, "host", "setup", 1), "want host or guest"},
		{strings.Replace(good, root, root[2:], 1), "64 hex digits"},
		{strings.Replace(good, "blocks=1", "blocks=0", 1), "data blocks"},
		{strings.Replace(good, "blocks=1", "blocks=999999999999", 1), "data blocks"},
		{strings.Replace(good, "version=1", "version=", 1), "version"},
		{good + strings.Repeat(" x", 3000), "bytes"},
	} {
		if _, err := Parse(tc.line); err == nil || !strings.Contains(err.Error(), tc.says) {
			t.Errorf("%q: error %v, want %q", tc.line, err, tc.says)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add("ashlar.role=host ashlar.version=1 ashlar.root=" + root + " ashlar.blocks=1")
	f.Fuzz(func(t *testing.T, s string) {
		if c, err := Parse(s); err == nil && (c.Blocks == 0 || c.Version == "" || (c.Role != Host && c.Role != Guest)) {
			t.Fatalf("accepted %q as %+v", s, c)
		}
	})
}
