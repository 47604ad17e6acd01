// Package tpmtest gives a test a TPM of its own: a swtpm with fresh seeds, killed when the test ends.
package tpmtest

import (
	"bufio"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"testing"

	"ashlar/hardware/tpm"
)

const attempts = 2_000_000 // to find the socket answering: seconds of looking; swtpm needs some milliseconds

// Start runs a swtpm and returns its socket.
func Start(t testing.TB) string {
	t.Helper()
	swtpm, err := exec.LookPath("swtpm")
	if err != nil {
		t.Skip("swtpm is not installed: apt-get install swtpm")
	}
	dir, err := os.MkdirTemp("", "swtpm") // not t.TempDir: a socket's path has at most 107 bytes
	if err != nil {
		t.Fatal(err)
	}
	socket := filepath.Join(dir, "sock")
	cmd := exec.Command(swtpm, "socket", "--tpm2", "--tpmstate", "dir="+dir, "--server", "type=unixio,path="+socket,
		"--ctrl", "type=unixio,path="+socket+".ctrl", "--flags", "not-need-init,startup-clear")
	stderr, err := cmd.StderrPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	died := make(chan string, 1)
	go func() {
		line, _ := bufio.NewReader(stderr).ReadString('\n')
		cmd.Wait()
		died <- line
	}()
	t.Cleanup(func() {
		cmd.Process.Kill()
		<-died
		os.RemoveAll(dir)
	})
	for range attempts {
		if conn, err := net.Dial("unix", socket); err == nil {
			conn.Close()
			return socket
		}
		select {
		case line := <-died:
			died <- ""
			t.Fatalf("swtpm died: %s", line)
		default:
			runtime.Gosched()
		}
	}
	t.Fatal("swtpm does not answer")
	return ""
}

// Open starts a swtpm and opens it.
func Open(t testing.TB) *tpm.Device {
	t.Helper()
	d, err := tpm.Open(Start(t))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Close() })
	return d
}
