package layers

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestPromises: every test that docs/promises.md names exists in the package
// that it names.
func TestPromises(t *testing.T) {
	const root = "../.."
	text, err := os.ReadFile(filepath.Join(root, "docs/promises.md"))
	if err != nil {
		t.Fatal(err)
	}
	named := 0
	for _, m := range regexp.MustCompile("`([a-z0-9/-]+): ([A-Za-z0-9 ]+)`").FindAllStringSubmatch(string(text), -1) {
		files, err := filepath.Glob(filepath.Join(root, m[1], "*_test.go"))
		if err != nil {
			t.Fatal(err)
		}
		var all strings.Builder
		for _, f := range files {
			b, err := os.ReadFile(f)
			if err != nil {
				t.Fatal(err)
			}
			all.Write(b)
		}
		for _, name := range strings.Fields(m[2]) {
			named++
			if !strings.Contains(all.String(), "\nfunc "+name+"(") {
				t.Errorf("docs/promises.md names %s in %s, which has no such test", name, m[1])
			}
		}
	}
	if named == 0 {
		t.Fatal("docs/promises.md names no test at all")
	}
}
