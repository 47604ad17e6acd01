// Package collect asks a machine's TPM and kernel for evidence.
//
//	nonce ──> quote of evidence.Quoted by the AK ──┐
//	          PCR values, which must be the quoted ┼──> evidence.Evidence
//	          firmware's event log from the kernel ┘
//
// It judges nothing: a machine cannot vouch for itself. The claims come from hostd.
package collect

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/google/go-tpm/tpm2"

	"ashlar/attestation/evidence"
	"ashlar/hardware/tpm"
)

const (
	LogPath  = "/sys/kernel/security/tpm0/binary_bios_measurements" // needs securityfs
	attempts = 3                                                    // quote and values are two commands: a PCR may be extended between them
)

// Identity reads the machine's keys.
func Identity(d *tpm.Device) (evidence.Identity, error) {
	id, err := d.Identity()
	return evidence.Identity{EK: id.EK, EKCert: id.EKCert, AK: id.AK}, err
}

// Evidence answers a nonce. logPath is LogPath on a machine.
func Evidence(d *tpm.Device, logPath string, nonce []byte, claims evidence.Claims) (*evidence.Evidence, error) {
	if len(nonce) < evidence.MinNonce || len(nonce) > evidence.MaxNonce {
		return nil, fmt.Errorf("collect evidence: a nonce of %d bytes; %d to %d are possible", len(nonce), evidence.MinNonce, evidence.MaxNonce)
	}
	id, err := Identity(d)
	if err != nil {
		return nil, fmt.Errorf("collect evidence: %w", err)
	}
	log, err := readLog(logPath)
	if err != nil {
		return nil, fmt.Errorf("collect evidence: %w", err)
	}
	e := &evidence.Evidence{Version: evidence.Version, Identity: id, EventLog: log, Claims: claims}
	for range attempts {
		q, err := d.Quote(nonce, evidence.Quoted)
		if err != nil {
			return nil, fmt.Errorf("collect evidence: %w", err)
		}
		values, err := d.Read(evidence.Quoted...)
		if err != nil {
			return nil, fmt.Errorf("collect evidence: %w", err)
		}
		if same, err := quoted(q.Attest, values); err != nil {
			return nil, fmt.Errorf("collect evidence: %w", err)
		} else if !same {
			continue
		}
		e.Quote, e.Signature, e.PCRs = q.Attest, q.Signature, map[int]evidence.Digest{}
		for i, v := range values {
			e.PCRs[i] = v
		}
		return e, nil
	}
	return nil, fmt.Errorf("collect evidence: PCRs were extended during each of %d attempts: ask again", attempts)
}

// quoted reports whether the values are those that were signed.
func quoted(attest []byte, values map[int][32]byte) (bool, error) {
	a, err := tpm2.Unmarshal[tpm2.TPMSAttest](attest)
	if err != nil {
		return false, fmt.Errorf("read our quote: %w", err)
	}
	q, err := a.Attested.Quote()
	if err != nil {
		return false, fmt.Errorf("read our quote: %w", err)
	}
	h := sha256.New()
	for _, i := range evidence.Quoted {
		v := values[i]
		h.Write(v[:])
	}
	return string(h.Sum(nil)) == string(q.PCRDigest.Buffer), nil
}

func readLog(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("the kernel gives no event log: %w: mount securityfs, and boot by UEFI", err)
	}
	defer f.Close()
	log, err := io.ReadAll(io.LimitReader(f, evidence.MaxLogBytes+1))
	if err != nil {
		return nil, fmt.Errorf("read event log: %w", err)
	}
	if len(log) > evidence.MaxLogBytes {
		return nil, errors.New("the event log is longer than any firmware writes")
	}
	return log, nil
}
