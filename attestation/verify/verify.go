// Package verify judges evidence: evidence + policy -> verdict with reasons. It is pure: no clock, no device, no network.
//
//	machine        the keys are those of the enrolled machine
//	AK             the key can sign nothing but the TPM's own statements
//	signature      the quote is signed by it            nonce    and answers this question
//	PCRs           the values given are the quoted ones
//	event log      replays to the firmware's PCRs       secure boot, application: rules on what it says
//	4 7 11 13      are the predicted values             12       is the configuration claimed     14 15 are untouched
//
// Every check runs and says its reason; one that fails, or cannot be made, fails the verdict. The event log is judged by
// rules, not by values, where machines differ (PCR 0-3, 5, 6, 9): its entries for them are bound, and nothing more is said.
// The caller chose the nonce at random for this question, and checked the signature of the bundle the expectation came from.
package verify

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/sha256"
	"errors"
	"fmt"
	"math/big"
	"slices"
	"strings"

	"github.com/google/go-tpm/tpm2"

	"ashlar/attestation/evidence"
)

// Policy is what the checker wants to see.
type Policy struct {
	Nonce   []byte
	Machine evidence.Identity // from the identity file of the enrolment
	Expect  evidence.Expectation
	Config  *evidence.Digest // nil: any configuration will do, as long as it is the one claimed and measured
}

// A Check is one line of the verdict.
type Check struct {
	Name   string `json:"name"`
	Passed bool   `json:"passed"`
	Detail string `json:"detail"`
}

// A Verdict is the list of all checks.
type Verdict struct {
	Checks []Check `json:"checks"`
}

// Trusted is true if every check was made and passed.
func (v Verdict) Trusted() bool {
	return len(v.Checks) == len(checks) && !slices.ContainsFunc(v.Checks, func(c Check) bool { return !c.Passed })
}

// Err names the checks that failed.
func (v Verdict) Err() error {
	if v.Trusted() {
		return nil
	}
	var failed []string
	for _, c := range v.Checks {
		if !c.Passed {
			failed = append(failed, c.Name+": "+c.Detail)
		}
	}
	return fmt.Errorf("the machine is not trusted: %s", strings.Join(failed, "; "))
}

// String is the verdict for a terminal.
func (v Verdict) String() string {
	var b strings.Builder
	for _, c := range v.Checks {
		word := "ok    "
		if !c.Passed {
			word = "FAILED"
		}
		fmt.Fprintf(&b, "%s  %-20s %s\n", word, c.Name, c.Detail)
	}
	if v.Trusted() {
		return b.String() + "verdict: trusted\n"
	}
	return b.String() + "verdict: NOT trusted\n"
}

// facts are what the checks share: the evidence, and what of it could be read.
type facts struct {
	e   *evidence.Evidence
	p   Policy
	ak  *tpm2.TPMTPublic
	att *tpm2.TPMSAttest
	log *evidence.Log

	akErr, attErr, logErr error
}

// checks is the whole judgement. Each returns what it found, in words.
var checks = []struct {
	name string
	run  func(*facts) (string, error)
}{
	{"machine", (*facts).machine},
	{"attestation key", (*facts).key},
	{"quote signature", (*facts).signature},
	{"nonce", (*facts).nonce},
	{"quoted PCRs", (*facts).quoted},
	{"event log", (*facts).replay},
	{"secure boot", (*facts).secureBoot},
	{"application", (*facts).application},
	{"PCR 4 boot", (*facts).pcr4},
	{"PCR 7 keys", (*facts).pcr7},
	{"PCR 11 image", (*facts).pcr11},
	{"PCR 12 configuration", (*facts).pcr12},
	{"PCR 13 guest", (*facts).pcr13},
	{"PCR 14, 15 unused", (*facts).unused},
	{"release", (*facts).release},
}

// Verify makes every check.
func Verify(e *evidence.Evidence, p Policy) Verdict {
	f := &facts{e: e, p: p}
	f.ak, f.akErr = tpm2.Unmarshal[tpm2.TPMTPublic](e.Identity.AK)
	f.att, f.attErr = tpm2.Unmarshal[tpm2.TPMSAttest](e.Quote)
	f.log, f.logErr = evidence.ParseLog(e.EventLog)
	var v Verdict
	for _, c := range checks {
		detail, err := c.run(f)
		if err != nil {
			detail = err.Error()
		}
		v.Checks = append(v.Checks, Check{Name: c.name, Passed: err == nil, Detail: detail})
	}
	return v
}

func (f *facts) machine() (string, error) {
	if len(f.p.Machine.EK) == 0 || len(f.p.Machine.AK) == 0 {
		return "", errors.New("the policy names no enrolled machine")
	}
	if !f.e.Identity.Equal(f.p.Machine) {
		return "", fmt.Errorf("this is machine %s, and %s was enrolled", f.e.Identity.Hash(), f.p.Machine.Hash())
	}
	return "the enrolled machine " + f.p.Machine.Hash().String(), nil
}

func (f *facts) key() (string, error) {
	if f.akErr != nil {
		return "", fmt.Errorf("the attestation key does not parse: %w", f.akErr)
	}
	if err := attestationKey(f.ak); err != nil {
		return "", err
	}
	return "restricted to the TPM's own statements, and bound to it", nil
}

// attestationKey holds the attributes without which a quote proves nothing.
func attestationKey(ak *tpm2.TPMTPublic) error {
	a := ak.ObjectAttributes
	if !a.Restricted || !a.SignEncrypt || a.Decrypt || !a.FixedTPM || !a.FixedParent || !a.SensitiveDataOrigin {
		return errors.New("the attestation key is not a restricted signing key that was made in the TPM and cannot leave it")
	}
	if ak.NameAlg != tpm2.TPMAlgSHA256 {
		return fmt.Errorf("the attestation key is named by algorithm %#x, not SHA-256", ak.NameAlg)
	}
	parms, err := ak.Parameters.ECCDetail()
	if err != nil || parms.CurveID != tpm2.TPMECCNistP256 || parms.Scheme.Scheme != tpm2.TPMAlgECDSA {
		return errors.New("the attestation key is not an ECDSA key on P-256")
	}
	return nil
}

func (f *facts) signature() (string, error) {
	if err := errors.Join(f.akErr, f.attErr); err != nil {
		return "", fmt.Errorf("key or quote does not parse: %w", err)
	}
	pub, err := publicKey(f.ak)
	if err != nil {
		return "", err
	}
	sig, err := tpm2.Unmarshal[tpm2.TPMTSignature](f.e.Signature)
	if err != nil {
		return "", fmt.Errorf("the signature does not parse: %w", err)
	}
	ec, err := sig.Signature.ECDSA()
	if err != nil || ec.Hash != tpm2.TPMAlgSHA256 {
		return "", errors.New("the signature is not ECDSA with SHA-256")
	}
	digest := sha256.Sum256(f.e.Quote)
	if !ecdsa.Verify(pub, digest[:], new(big.Int).SetBytes(ec.SignatureR.Buffer), new(big.Int).SetBytes(ec.SignatureS.Buffer)) {
		return "", errors.New("the quote is not signed by the machine's attestation key")
	}
	if f.att.Magic != tpm2.TPMGeneratedValue || f.att.Type != tpm2.TPMSTAttestQuote {
		return "", errors.New("what is signed is not a quote")
	}
	return "by the attestation key", nil
}

func publicKey(ak *tpm2.TPMTPublic) (*ecdsa.PublicKey, error) {
	pub, err := tpm2.Pub(*ak)
	if err != nil {
		return nil, fmt.Errorf("the attestation key is no public key: %w", err)
	}
	ec, ok := pub.(*ecdsa.PublicKey)
	if !ok {
		return nil, errors.New("the attestation key is not an ECDSA key")
	}
	if _, err := ec.ECDH(); err != nil { // refuses a point that is not on the curve
		return nil, fmt.Errorf("the attestation key is no public key: %w", err)
	}
	return ec, nil
}

func (f *facts) nonce() (string, error) {
	switch {
	case len(f.p.Nonce) < evidence.MinNonce:
		return "", fmt.Errorf("the policy's nonce has %d bytes; at least %d keep an old answer from fitting", len(f.p.Nonce), evidence.MinNonce)
	case f.attErr != nil:
		return "", fmt.Errorf("the quote does not parse: %w", f.attErr)
	case !bytes.Equal(f.att.ExtraData.Buffer, f.p.Nonce):
		return "", errors.New("the quote answers another question: it is a replay, or was meant for somebody else")
	}
	return "fresh", nil
}

func (f *facts) quoted() (string, error) {
	if f.attErr != nil {
		return "", fmt.Errorf("the quote does not parse: %w", f.attErr)
	}
	q, err := f.att.Attested.Quote()
	if err != nil {
		return "", fmt.Errorf("what is signed is not a quote: %w", err)
	}
	want := tpm2.PCClientCompatible.PCRs(unsigned(evidence.Quoted)...)
	sel := q.PCRSelect.PCRSelections
	if len(sel) != 1 || sel[0].Hash != tpm2.TPMAlgSHA256 || !bytes.Equal(sel[0].PCRSelect, want) {
		return "", fmt.Errorf("the quote is not over PCRs %v of the SHA-256 bank", evidence.Quoted)
	}
	if !slices.Equal(f.e.PCRList(), evidence.Quoted) {
		return "", fmt.Errorf("values are given for PCRs %v, not for those quoted", f.e.PCRList())
	}
	h := sha256.New()
	for _, i := range evidence.Quoted {
		v := f.e.PCRs[i]
		h.Write(v[:])
	}
	if !bytes.Equal(h.Sum(nil), q.PCRDigest.Buffer) {
		return "", errors.New("the values given are not those that the TPM signed")
	}
	return fmt.Sprintf("%v, as signed", evidence.Quoted), nil
}

func unsigned(list []int) []uint {
	var out []uint
	for _, i := range list {
		out = append(out, uint(i))
	}
	return out
}
