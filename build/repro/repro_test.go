package repro

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
)

func folder(t *testing.T, files map[string]string) string {
	dir := t.TempDir()
	for n, b := range files {
		p := filepath.Join(dir, n)
		os.MkdirAll(filepath.Dir(p), 0o755)
		if err := os.WriteFile(p, []byte(b), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestCompare(t *testing.T) {
	big := string(make([]byte, chunk+10))
	base := map[string]string{"a": "one", "b/c": big}
	for _, c := range []struct {
		name  string
		other map[string]string
		file  string
		at    int64
	}{
		{"the same", base, "", 0},
		{"one byte", map[string]string{"a": "onE", "b/c": big}, "a", 2},
		{"the first of two", map[string]string{"a": "One", "b/c": big + "x"}, "a", 0},
		{"behind the first chunk", map[string]string{"a": "one", "b/c": big[:chunk+5] + "x" + big[:4]}, "b/c", chunk + 5},
		{"longer", map[string]string{"a": "one", "b/c": big + "x"}, "b/c", chunk + 10},
		{"shorter", map[string]string{"a": "on", "b/c": big}, "a", 2},
		{"a file less", map[string]string{"a": "one"}, "b/c", -1},
		{"a file more", map[string]string{"a": "one", "b/c": big, "z": ""}, "z", -1},
	} {
		files, size, err := Compare(folder(t, base), folder(t, c.other))
		var d *Difference
		if c.file == "" {
			if err != nil || files != 2 || size != chunk+13 {
				t.Errorf("%s: %d files, %d bytes, %v", c.name, files, size, err)
			}
		} else if !errors.As(err, &d) || d.File != c.file || d.Offset != c.at {
			t.Errorf("%s: got %v", c.name, err)
		}
	}
}
