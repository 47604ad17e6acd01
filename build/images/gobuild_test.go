package images

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// No path of this machine may stay in a program: neither the tree's nor the module cache's.
func TestBinariesNameNoFolderOfThisMachine(t *testing.T) {
	if testing.Short() {
		t.Skip("builds a program")
	}
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	modules, err := exec.Command("go", "env", "GOMODCACHE").Output()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if err := Binaries(root, dir, []string{"ashlar/replica/cmd/replica"}); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(filepath.Join(dir, "replica"))
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{root + "/", strings.TrimSpace(string(modules)), dir} {
		if strings.Contains(string(b), path) {
			t.Errorf("the replica's program names %s", path)
		}
	}
}

func TestTwoProgramsOfOneNameAreRefused(t *testing.T) {
	err := Binaries(".", t.TempDir(), []string{"ashlar/a/cmd/tool", "ashlar/b/cmd/tool"})
	if err == nil || !strings.Contains(err.Error(), "rename one") {
		t.Errorf("got %v", err)
	}
}
