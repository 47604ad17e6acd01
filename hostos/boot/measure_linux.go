package boot

import (
	"context"
	"encoding/hex"
	"fmt"
	"sync"

	"ashlar/attestation/evidence"
	"ashlar/hardware/tpm"
)

// tpmState is the machine's TPM and what we measured into it.
type tpmState struct {
	mu     sync.Mutex // a tpm.Device serves one at a time
	dev    *tpm.Device
	why    string // it is not used, or not whole
	claims evidence.Claims
}

// openTPM measures the configuration. A machine without a TPM, or with one that
// fails, runs: it cannot prove what it runs, and says so in its status.
func (h *Host) openTPM(context.Context) (string, error) {
	t := &h.tpm
	t.claims = evidence.Claims{Version: h.line.Version, Slot: string(h.slot), Config: h.conf.Digest()}
	dev, err := tpm.Open(tpm.DevicePath)
	if err != nil {
		return h.unattested(err), nil
	}
	t.dev = dev
	if err := t.extend(evidence.PCRConfig, t.claims.Config); err != nil {
		return h.unattested(err), nil
	}
	return fmt.Sprintf("config %s in PCR %d", t.claims.Config.String()[:16], evidence.PCRConfig), nil
}

func (h *Host) unattested(err error) string {
	h.tpm.why = err.Error()
	text := "this node runs unattested: " + err.Error()
	h.note(text)
	return text
}

// measureGuest extends the guest's digest, before anything of the guest runs.
func (h *Host) measureGuest(digest evidence.Digest) (string, error) {
	t := &h.tpm
	t.claims.GuestUKI = digest
	if t.dev == nil {
		return "not measured", nil
	}
	if err := t.extend(evidence.PCRGuest, digest); err != nil {
		return h.unattested(err), nil
	}
	return fmt.Sprintf("in PCR %d", evidence.PCRGuest), nil
}

func (t *tpmState) extend(pcr int, d evidence.Digest) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.dev.Extend(pcr, d)
}

// values reads the PCRs that status shows. A TPM that fails shows none.
func (t *tpmState) values() map[int]string {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.dev == nil {
		return nil
	}
	pcrs, err := t.dev.Read(evidence.PCRBoot, evidence.PCRKeys, evidence.PCRImage, evidence.PCRConfig, evidence.PCRGuest)
	if err != nil {
		return nil
	}
	out := map[int]string{}
	for i, d := range pcrs {
		out[i] = hex.EncodeToString(d[:])
	}
	return out
}

// state is one word for the status, or the reason.
func (t *tpmState) state() string {
	if t.why != "" {
		return t.why
	}
	return "ok"
}
