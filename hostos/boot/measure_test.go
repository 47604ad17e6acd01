package boot

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"ashlar/hardware/efi"
	"ashlar/hardware/tpm"
	"ashlar/hostos/api"
	"ashlar/internal/journal"
)

func TestAMachineWithoutATPMRunsAndProvesNothing(t *testing.T) {
	h := &Host{log: journal.New(1<<16, nil)}
	said := h.unattested(tpm.ErrNoTPM)
	if !strings.Contains(said, "unattested") || len(h.notes) != 1 || h.tpm.state() != tpm.ErrNoTPM.Error() {
		t.Errorf("said %q, notes %q, state %q", said, h.notes, h.tpm.state())
	}
	asked := false
	_, err := h.tpm.use(func(*tpm.Device) (any, error) { asked = true; return nil, nil })
	if !errors.Is(err, api.ErrUnavailable) || !strings.Contains(err.Error(), "no TPM 2.0") || asked {
		t.Errorf("%v, asked %v", err, asked)
	}
}

// One PCR that could not be extended, and nothing is attested any more.
func TestHalfAMeasurementAttestsNothing(t *testing.T) {
	h := &Host{log: journal.New(1<<16, nil)}
	h.tpm.dev = &tpm.Device{}
	h.unattested(errors.New("extend PCR 13: the TPM is locked"))
	if _, err := h.tpm.use(func(*tpm.Device) (any, error) { return "a quote", nil }); !errors.Is(err, api.ErrUnavailable) {
		t.Errorf("%v", err)
	}
}

func TestABusyTPMKeepsNobodyFromTheStatus(t *testing.T) {
	var s tpmState
	s.dev, s.last = &tpm.Device{}, map[int]string{4: "aa"}
	in, out := make(chan struct{}), make(chan struct{})
	go s.use(func(*tpm.Device) (any, error) { close(in); <-out; return nil, nil })
	<-in
	if v := s.values(); v[4] != "aa" || s.state() != "ok" {
		t.Errorf("%v", v)
	}
	s.asking.Add(maxAsking - 1) // as many wait
	if _, err := s.use(func(*tpm.Device) (any, error) { return nil, nil }); !errors.Is(err, api.ErrBusy) {
		t.Errorf("one too many: %v", err)
	}
	close(out)
}

func TestSecureBootThatIsOffIsSaid(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "SecureBoot-"+efi.Global.String())
	for _, tc := range []struct {
		content []byte
		ok      bool
	}{{[]byte{6, 0, 0, 0, 1}, true}, {[]byte{6, 0, 0, 0, 0}, false}, {[]byte{6, 0, 0, 0}, false}, {nil, false}} {
		if err := os.WriteFile(file, tc.content, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := enforced(dir); (err == nil) != tc.ok {
			t.Errorf("% x: %v", tc.content, err)
		}
	}
	if enforced(filepath.Join(dir, "none")) == nil {
		t.Error("a machine without UEFI enforces")
	}
}
