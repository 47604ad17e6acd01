package boot

import (
	"context"
	"encoding/hex"
	"fmt"
	"sync"
	"sync/atomic"

	"ashlar/attestation/evidence"
	"ashlar/hardware/efi"
	"ashlar/hardware/tpm"
)

// maxAsking is how many requests may wait for the TPM, which anybody may ask
// and which takes seconds: the others are told to come back.
const maxAsking = 4

// tpmState is the machine's TPM and what we measured into it.
type tpmState struct {
	mu     sync.Mutex // a tpm.Device serves one at a time
	dev    *tpm.Device
	asking atomic.Int32

	told   sync.Mutex // what follows is told without waiting for the device
	why    string     // it is not used, or not whole
	claims evidence.Claims
	last   map[int]string // PCRs as last read
}

// openTPM measures the configuration. A machine without a TPM, or with one that
// fails, runs: it cannot prove what it runs, and says so in its status.
func (h *Host) openTPM(context.Context) (string, error) {
	t, config := &h.tpm, evidence.Digest(h.conf.Digest())
	t.claim(func(c *evidence.Claims) {
		*c = evidence.Claims{Version: h.line.Version, Slot: string(h.slot), Config: config}
	})
	if err := enforced(efi.Path); err != nil {
		h.note("Secure Boot is not enforced, anything may have been started here: " + err.Error() + ": enrol the release's keys in the firmware's setup and switch it on")
	}
	dev, err := tpm.Open(tpm.DevicePath)
	if err != nil {
		return h.unattested(err), nil
	}
	t.mu.Lock()
	t.dev = dev
	t.mu.Unlock()
	if err := t.extend(evidence.PCRConfig, config); err != nil {
		return h.unattested(err), nil
	}
	return fmt.Sprintf("config %s in PCR %d", config.String()[:16], evidence.PCRConfig), nil
}

func (h *Host) unattested(err error) string {
	h.tpm.told.Lock()
	h.tpm.why = err.Error()
	h.tpm.told.Unlock()
	text := "this node runs unattested: " + err.Error()
	h.note(text)
	return text
}

// measureGuest extends the guest's digest, before anything of the guest runs.
func (h *Host) measureGuest(digest evidence.Digest) (string, error) {
	t := &h.tpm
	t.claim(func(c *evidence.Claims) { c.GuestUKI = digest })
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

func (t *tpmState) claim(change func(*evidence.Claims)) {
	t.told.Lock()
	defer t.told.Unlock()
	change(&t.claims)
}

// claimed is what the node says of itself, and why it cannot prove it, if so.
func (t *tpmState) claimed() (evidence.Claims, string) {
	t.told.Lock()
	defer t.told.Unlock()
	return t.claims, t.why
}

// values are the PCRs that status shows: those of the last time while the TPM
// is busy, because a status must not wait for what anybody may keep busy.
func (t *tpmState) values() map[int]string {
	if t.mu.TryLock() {
		now := t.read()
		t.mu.Unlock()
		t.told.Lock()
		t.last = now
		t.told.Unlock()
	}
	t.told.Lock()
	defer t.told.Unlock()
	return t.last
}

// read asks the TPM. One that fails shows none.
func (t *tpmState) read() map[int]string {
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
	if _, why := t.claimed(); why != "" {
		return why
	}
	return "ok"
}
