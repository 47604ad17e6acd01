package boot

import (
	"context"
	"encoding/json"
	"fmt"

	"ashlar/attestation/collect"
	"ashlar/attestation/evidence"
	"ashlar/hardware/tpm"
	"ashlar/hostos/api"
)

// Identity is the TPM's keys.
func (h *Host) Identity(context.Context) (any, error) {
	return h.tpm.use(func(d *tpm.Device) (any, error) { return collect.Identity(d) })
}

// Activate opens a credential made for this TPM: the proof that its keys are in one TPM.
func (h *Host) Activate(_ context.Context, raw json.RawMessage) (any, error) {
	var c evidence.Challenge
	if err := json.Unmarshal(raw, &c); err != nil {
		return nil, fmt.Errorf("the challenge does not parse: %w", err)
	}
	return h.tpm.use(func(d *tpm.Device) (any, error) {
		secret, err := d.Activate(c.Credential, c.Secret)
		return evidence.Answer{Secret: secret}, err
	})
}

// Attest quotes the PCRs over a nonce.
func (h *Host) Attest(_ context.Context, nonce []byte) (any, error) {
	return h.tpm.use(func(d *tpm.Device) (any, error) {
		claims, _ := h.tpm.claimed()
		return collect.Evidence(d, collect.LogPath, nonce, claims)
	})
}

// use runs do with the TPM, or says why there is none to use. A node whose
// measurements are not whole gives none at all: half a proof invites mistakes.
func (t *tpmState) use(do func(*tpm.Device) (any, error)) (any, error) {
	defer t.asking.Add(-1)
	if t.asking.Add(1) > maxAsking {
		return nil, fmt.Errorf("%w: %d others ask the TPM: try again", api.ErrBusy, maxAsking)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if _, why := t.claimed(); t.dev == nil || why != "" {
		return nil, fmt.Errorf("%w: this node runs unattested: %s", api.ErrUnavailable, why)
	}
	return do(t.dev)
}
