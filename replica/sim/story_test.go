package sim

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestStories(t *testing.T) {
	files, err := filepath.Glob("testdata/*.story")
	if err != nil || len(files) == 0 {
		t.Fatal("no stories", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".story"), func(t *testing.T) {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			p, err := ParseStory(string(text))
			if err != nil {
				t.Fatal(err)
			}
			if p.Skip != "" {
				t.Skip(p.Skip)
			}
			r, err := Tell(p)
			if err != nil {
				t.Fatal(err)
			}
			if r.Violation != nil {
				t.Errorf("%v\n%s", r.Violation, strings.Join(r.Lines[max(0, len(r.Lines)-20):], "\n"))
			}
			t.Logf("height %d, %d answers, %v", r.Height, r.Answered, r.Time)
		})
	}
}
