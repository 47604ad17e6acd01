package spectest

import (
	"bufio"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestSpecification runs against ASHLAR_SPEC_URL, or else against a replica of
// its own: `replica --dev` on a free port with an empty state.
func TestSpecification(t *testing.T) {
	url := os.Getenv("ASHLAR_SPEC_URL")
	if url == "" {
		url = startReplica(t)
	}
	Run(t, url)
}

func startReplica(t *testing.T) string {
	t.Helper()
	bin := filepath.Join(t.TempDir(), "replica")
	if out, err := exec.Command("go", "build", "-o", bin, "ashlar/replica/cmd/replica").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	cmd := exec.Command(bin, "--dev", "--listen", "127.0.0.1:0", "--state", filepath.Join(t.TempDir(), "state"))
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Signal(os.Interrupt)
		if err := cmd.Wait(); err != nil {
			t.Errorf("the replica does not stop cleanly: %v", err)
		}
	})
	for lines := bufio.NewScanner(out); lines.Scan(); {
		if _, url, found := strings.Cut(lines.Text(), "replica: "); found {
			go func() {
				for lines.Scan() { // keep its output flowing
				}
			}()
			return url
		}
	}
	t.Fatal("the replica ended without a line that names its URL")
	return ""
}
