package lab

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// NewTPM makes the state of a new TPM 2.0 in dir: a machine of its own, with
// an endorsement key, and the SHA-256 bank alone, as boards are delivered now.
func NewTPM(dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	out, err := exec.Command("swtpm_setup", "--tpm2", "--tpmstate", dir, "--pcr-banks", "sha256", "--overwrite").CombinedOutput()
	if err != nil {
		return fmt.Errorf("make a TPM in %s: %w: %s", dir, err, strings.TrimSpace(string(out)))
	}
	return nil
}

// tpmEnds is how long a TPM may take to end after its machine was switched off: as long
// as it runs, it holds the lock of its state.
const tpmEnds = 10 * time.Second

// startTPM returns when the TPM listens: swtpm goes to the background after it
// has opened its socket. It ends by itself when QEMU closes the connection.
func (vm *VM) startTPM() error {
	state, err := filepath.Abs(vm.cfg.TPM)
	if err != nil {
		return err
	}
	for began := time.Now(); ; time.Sleep(50 * time.Millisecond) {
		out, err := exec.Command("swtpm", "socket", "--tpm2", "--tpmstate", "dir="+state, "--ctrl", "type=unixio,path="+vm.socket("tpm"),
			"--flags", "startup-clear", "--daemon", "--terminate", "--pid", "file="+vm.socket("tpm.pid")).CombinedOutput()
		said := strings.TrimSpace(string(out))
		switch {
		case err == nil:
			return nil
		case !strings.Contains(said, "Could not lock") || time.Since(began) > tpmEnds:
			return fmt.Errorf("start the TPM of %s: %w: %s", vm.cfg.TPM, err, said)
		}
	}
}

// stopTPM ends a TPM that no QEMU took with it.
func (vm *VM) stopTPM() {
	b, err := os.ReadFile(vm.socket("tpm.pid"))
	if err != nil {
		return // it ended by itself and took the file away
	}
	if pid, err := strconv.Atoi(strings.TrimSpace(string(b))); err == nil && pid > 1 {
		syscall.Kill(pid, syscall.SIGTERM)
	}
}
