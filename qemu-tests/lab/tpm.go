package lab

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
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

// startTPM returns when the TPM listens: swtpm goes to the background after it
// has opened its socket. It ends by itself when QEMU closes the connection.
func (vm *VM) startTPM() error {
	state, err := filepath.Abs(vm.cfg.TPM)
	if err != nil {
		return err
	}
	out, err := exec.Command("swtpm", "socket", "--tpm2", "--tpmstate", "dir="+state, "--ctrl", "type=unixio,path="+vm.socket("tpm"),
		"--flags", "startup-clear", "--daemon", "--terminate", "--pid", "file="+vm.socket("tpm.pid")).CombinedOutput()
	if err != nil {
		return fmt.Errorf("start the TPM of %s: %w: %s", vm.cfg.TPM, err, strings.TrimSpace(string(out)))
	}
	return nil
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
