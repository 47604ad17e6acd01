package qemutests

import (
	"bytes"
	"crypto/rand"
	"encoding/json"
	"net/http"
	"os"
	"strings"

	"ashlar/attestation/collect"
	"ashlar/attestation/evidence"
	"ashlar/attestation/measure"
	"ashlar/attestation/verify"
	"ashlar/hardware/tpm/tpmtest"
	"ashlar/image/bundle"
)

// proves checks everything that a stranger can check of a running node.
func (m *machine) proves(b built) {
	m.t.Helper()
	m.measuredAsPredicted(b.manifest(m.t))
	m.trusted(b)
	m.refusesDoubt(b)
}

func (m *machine) measuredAsPredicted(want bundle.Manifest) {
	m.t.Helper()
	got := m.status().PCRs
	host, guest := want.Measurements.Host, want.Measurements.Guest
	for pcr, allowed := range map[int][]bundle.Digest{4: host.PCR4, 7: {host.PCR7}, 11: {host.PCR11}, 13: {guest.PCR13}} {
		found := false
		for _, d := range allowed {
			found = found || d.String() == got[pcr]
		}
		if !found {
			m.t.Errorf("PCR %d is %s, predicted %v", pcr, got[pcr], allowed)
		}
	}
}

// trusted lets nodectl judge the node: enrolled at the first time, known from then on.
func (m *machine) trusted(b built) {
	m.t.Helper()
	which := "--identity"
	if _, err := os.Stat(m.path("identity")); err != nil {
		which = "--enrol"
	}
	said, err := m.nodectl("attest", "--url", m.hostURL, "--bundle", b.bundle(), "--release-key", b.file("release.pub"), "--config", m.path("node.conf"), which, m.path("identity"))
	if err != nil || !strings.Contains(said, "verdict: trusted") {
		m.t.Errorf("nodectl attest: %v\n%s", err, said)
	}
}

// quote asks for evidence over a nonce.
func (m *machine) quote(nonce []byte) *evidence.Evidence {
	m.t.Helper()
	body, err := json.Marshal(map[string][]byte{"nonce": nonce})
	must(m.t, err)
	resp, err := http.Post(m.hostURL+"/v1/attest", "application/json", bytes.NewReader(body))
	must(m.t, err)
	defer resp.Body.Close()
	e, err := evidence.Decode(resp.Body)
	must(m.t, err)
	return e
}

// refusesDoubt changes one thing at a time in what was good a moment ago.
func (m *machine) refusesDoubt(b built) {
	m.t.Helper()
	raw, err := os.ReadFile(m.path("identity"))
	must(m.t, err)
	known, err := evidence.DecodeIdentity(raw)
	must(m.t, err)
	nonce := make([]byte, 32)
	rand.Read(nonce)
	good := verify.Policy{Nonce: nonce, Machine: known, Expect: measure.Expect(b.manifest(m.t))}
	if v := verify.Verify(m.quote(nonce), good); !v.Trusted() {
		m.t.Fatalf("an honest quote is not trusted:\n%s", v)
	}
	other, err := collect.Identity(tpmtest.Open(m.t))
	must(m.t, err)
	for name, spoil := range map[string]func(e *evidence.Evidence, p *verify.Policy){
		"a replayed nonce":        func(_ *evidence.Evidence, p *verify.Policy) { p.Nonce = bytes.Repeat([]byte{7}, 32) },
		"another machine's quote": func(_ *evidence.Evidence, p *verify.Policy) { p.Machine = other },
		"a log with one digest changed": func(e *evidence.Evidence, _ *verify.Policy) {
			e.EventLog[bytes.Index(e.EventLog, good.Expect.Application[:])] ^= 1
		},
		"a log that ends early":         func(e *evidence.Evidence, _ *verify.Policy) { e.EventLog = e.EventLog[:len(e.EventLog)/2] },
		"a signature over other values": func(e *evidence.Evidence, _ *verify.Policy) { e.Signature[len(e.Signature)-1] ^= 1 },
		"our quote in another's name":   func(e *evidence.Evidence, p *verify.Policy) { e.Identity, p.Machine = other, other },
		"another release's image":       func(_ *evidence.Evidence, p *verify.Policy) { p.Expect.PCR11[0] ^= 1 },
	} {
		e, p := m.quote(nonce), good
		spoil(e, &p)
		if v := verify.Verify(e, p); v.Trusted() || v.Err() == nil {
			m.t.Errorf("%s is trusted:\n%s", name, v)
		}
	}
}
