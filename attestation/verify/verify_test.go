package verify_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"math/big"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-tpm/tpm2"

	"ashlar/attestation/collect"
	"ashlar/attestation/evidence"
	"ashlar/attestation/measure"
	"ashlar/attestation/verify"
	"ashlar/hardware/tpm"
	"ashlar/hardware/tpm/tpmtest"
	"ashlar/image/bundle"
)

const (
	recordedDir   = "../evidence/testdata/ovmf-2022.11/"
	recordedNonce = "recorded for the test vectors"
)

var (
	config = evidence.Digest(sha256.Sum256([]byte("config")))
	guest  = evidence.Digest(sha256.Sum256([]byte("guest")))
	claims = evidence.Claims{Version: "1.0.0", Slot: "a", Config: config, GuestUKI: guest}
)

// recorded is the boot of testdata, and a policy under which it is trusted.
func recorded(t testing.TB) (*evidence.Evidence, verify.Policy) {
	t.Helper()
	raw, err := os.ReadFile(recordedDir + "evidence.json")
	if err != nil {
		t.Fatal(err)
	}
	e, err := evidence.Decode(bytes.NewReader(raw))
	if err != nil {
		t.Fatal(err)
	}
	var m bundle.Manifest
	m.Version = "1.0.0"
	if raw, err = os.ReadFile(recordedDir + "measurements.json"); err == nil {
		err = json.Unmarshal(raw, &m.Measurements.Host)
	}
	if err != nil {
		t.Fatal(err)
	}
	m.Measurements.Guest = measure.Guest([]byte("guest"))
	return e, verify.Policy{Nonce: []byte(recordedNonce), Machine: e.Identity, Expect: measure.Expect(m), Config: &config}
}

// failed names the checks that failed.
func failed(v verify.Verdict) string {
	var out []string
	for _, c := range v.Checks {
		if !c.Passed {
			out = append(out, c.Name)
		}
	}
	return strings.Join(out, ", ")
}

func TestRecordedBootIsTrusted(t *testing.T) {
	e, p := recorded(t)
	v := verify.Verify(e, p)
	if !v.Trusted() || v.Err() != nil {
		t.Errorf("\n%s", v)
	}
	p.Config = nil
	if v := verify.Verify(e, p); !v.Trusted() {
		t.Errorf("any configuration will do:\n%s", v)
	}
}

// Each line changes one thing, and says which checks must see it.
func TestOneThingWrong(t *testing.T) {
	zero := evidence.Digest{}
	for _, c := range []struct {
		name, want string
		change     func(*evidence.Evidence, *verify.Policy)
	}{
		{"no policy at all", "machine, nonce, application, PCR 4 boot, PCR 7 keys, PCR 11 image, PCR 13 guest, release",
			func(e *evidence.Evidence, p *verify.Policy) { *p = verify.Policy{} }},
		{"no evidence at all", "machine, attestation key, quote signature, nonce, quoted PCRs, event log, secure boot, application, PCR 4 boot, PCR 7 keys, " +
			"PCR 11 image, PCR 12 configuration, PCR 13 guest, PCR 14, 15 unused, release",
			func(e *evidence.Evidence, p *verify.Policy) { *e = evidence.Evidence{} }},
		{"another nonce", "nonce", func(e *evidence.Evidence, p *verify.Policy) { p.Nonce = []byte("another question of mine") }},
		{"a short nonce", "nonce", func(e *evidence.Evidence, p *verify.Policy) { p.Nonce = p.Nonce[:15] }},
		{"another machine enrolled", "machine", func(e *evidence.Evidence, p *verify.Policy) { p.Machine.EK = []byte("another") }},
		{"another AK enrolled", "machine", func(e *evidence.Evidence, p *verify.Policy) { p.Machine.AK = []byte("another") }},
		{"a bit of the quote", "quote signature", func(e *evidence.Evidence, p *verify.Policy) { e.Quote[76] ^= 1 }},
		{"a bit of the signature", "quote signature", func(e *evidence.Evidence, p *verify.Policy) { e.Signature[20] ^= 1 }},
		{"no signature", "quote signature", func(e *evidence.Evidence, p *verify.Policy) { e.Signature = nil }},
		{"a PCR value that was not signed", "quoted PCRs, event log", func(e *evidence.Evidence, p *verify.Policy) { e.PCRs[2] = zero }},
		{"PCR 11 as predicted, but not signed", "quoted PCRs, event log", func(e *evidence.Evidence, p *verify.Policy) {
			e.PCRs[11] = evidence.Digest{1}
			p.Expect.PCR11 = e.PCRs[11]
		}},
		{"a missing PCR value", "quoted PCRs, PCR 14, 15 unused", func(e *evidence.Evidence, p *verify.Policy) { delete(e.PCRs, 14) }},
		{"a PCR too many", "quoted PCRs", func(e *evidence.Evidence, p *verify.Policy) { e.PCRs[8] = zero }},
		{"a changed log", "event log", func(e *evidence.Evidence, p *verify.Policy) {
			i := bytes.Index(e.EventLog, []byte("Linux initrd")) - 20
			e.EventLog[i] ^= 1
		}},
		{"a log that ends early", "event log", func(e *evidence.Evidence, p *verify.Policy) { e.EventLog = e.EventLog[:len(e.EventLog)-90] }},
		{"no log", "event log, secure boot, application", func(e *evidence.Evidence, p *verify.Policy) { e.EventLog = nil }},
		{"a log that says Secure Boot is on in other data than was measured", "secure boot", func(e *evidence.Evidence, p *verify.Policy) {
			name := []byte("S\x00e\x00c\x00u\x00r\x00e\x00B\x00o\x00o\x00t\x00\x01")
			e.EventLog[bytes.Index(e.EventLog, name)+len(name)-1] = 0
		}},
		{"another UKI", "application", func(e *evidence.Evidence, p *verify.Policy) { p.Expect.Application[0] ^= 1 }},
		{"another PCR 4", "PCR 4 boot", func(e *evidence.Evidence, p *verify.Policy) { p.Expect.PCR4 = p.Expect.PCR4[1:] }},
		{"other Secure Boot keys", "PCR 7 keys", func(e *evidence.Evidence, p *verify.Policy) { p.Expect.PCR7[0] ^= 1 }},
		{"another image", "PCR 11 image", func(e *evidence.Evidence, p *verify.Policy) { p.Expect.PCR11[0] ^= 1 }},
		{"another guest in the release", "PCR 13 guest", func(e *evidence.Evidence, p *verify.Policy) {
			p.Expect.PCR13 = evidence.Digest(measure.Guest([]byte("another guest")).PCR13)
		}},
		{"another guest claimed", "PCR 13 guest", func(e *evidence.Evidence, p *verify.Policy) { e.Claims.GuestUKI[0] ^= 1 }},
		{"another configuration claimed", "PCR 12 configuration", func(e *evidence.Evidence, p *verify.Policy) { e.Claims.Config[0] ^= 1 }},
		{"another configuration wanted", "PCR 12 configuration", func(e *evidence.Evidence, p *verify.Policy) { p.Config = &zero }},
		{"another release claimed", "release", func(e *evidence.Evidence, p *verify.Policy) { e.Claims.Version = "1.0.1" }},
	} {
		e, p := recorded(t)
		c.change(e, &p)
		v := verify.Verify(e, p)
		if got := failed(v); got != c.want || v.Trusted() || v.Err() == nil {
			t.Errorf("%s: failed [%s], want [%s]\n%s", c.name, got, c.want, v)
		}
	}
}

func TestEmptyVerdictIsNoTrust(t *testing.T) {
	if (verify.Verdict{}).Trusted() || (verify.Verdict{}).Err() == nil {
		t.Error("a verdict without checks is trusted")
	}
}

// boot gives a fresh swtpm the PCRs of the recorded boot.
func boot(t *testing.T) *tpm.Device {
	t.Helper()
	d := tpmtest.Open(t)
	e, _ := recorded(t)
	log, err := evidence.ParseLog(e.EventLog)
	if err != nil {
		t.Fatal(err)
	}
	for _, ev := range log.Events {
		if ev.Type == evidence.EventNoAction {
			continue
		}
		if err := d.Extend(ev.PCR, ev.Digest); err != nil {
			t.Fatal(err)
		}
	}
	for pcr, digest := range map[int]evidence.Digest{evidence.PCRConfig: config, evidence.PCRGuest: guest} {
		if err := d.Extend(pcr, digest); err != nil {
			t.Fatal(err)
		}
	}
	return d
}

func answer(t *testing.T, d *tpm.Device, nonce string) *evidence.Evidence {
	t.Helper()
	e, _ := recorded(t)
	path := filepath.Join(t.TempDir(), "log")
	if err := os.WriteFile(path, e.EventLog, 0o600); err != nil {
		t.Fatal(err)
	}
	got, err := collect.Evidence(d, path, []byte(nonce), claims)
	if err != nil {
		t.Fatal(err)
	}
	return got
}

func TestLiveQuotes(t *testing.T) {
	mine, theirs := boot(t), boot(t)
	const nonce = "this question, asked once"
	_, p := recorded(t)
	p.Nonce = []byte(nonce)
	var err error
	if p.Machine, err = collect.Identity(mine); err != nil {
		t.Fatal(err)
	}
	good := answer(t, mine, nonce)
	if v := verify.Verify(good, p); !v.Trusted() {
		t.Fatalf("the good machine:\n%s", v)
	}
	judge := func(name, want string, e *evidence.Evidence) {
		if got := failed(verify.Verify(e, p)); got != want {
			t.Errorf("%s: failed [%s], want [%s]", name, got, want)
		}
	}
	judge("a replayed answer", "nonce", answer(t, mine, "another question of before"))
	judge("another machine's answer", "machine", answer(t, theirs, nonce))
	mixed := answer(t, theirs, nonce)
	mixed.Identity = good.Identity
	judge("another machine's quote under this one's name", "quote signature", mixed)
	if err := mine.Extend(evidence.PCRGuest, guest); err != nil {
		t.Fatal(err)
	}
	judge("a guest measured twice", "PCR 13 guest", answer(t, mine, nonce))
	if err := mine.Extend(evidence.PCRImage, config); err != nil {
		t.Fatal(err)
	}
	judge("something more in PCR 11", "event log, PCR 11 image, PCR 13 guest", answer(t, mine, nonce))
	if err := mine.Extend(15, config); err != nil {
		t.Fatal(err)
	}
	judge("something in PCR 15", "event log, PCR 11 image, PCR 13 guest, PCR 14, 15 unused", answer(t, mine, nonce))
}

// A key that signs whatever it is given can sign a forged quote: its signature is good, and it must not count.
func TestUnrestrictedKeyIsRefused(t *testing.T) {
	e, p := recorded(t)
	ak, err := tpm2.Unmarshal[tpm2.TPMTPublic](e.Identity.AK)
	if err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(*tpm2.TPMAObject){
		"unrestricted": func(a *tpm2.TPMAObject) { a.Restricted = false },
		"imported":     func(a *tpm2.TPMAObject) { a.SensitiveDataOrigin = false },
		"can leave":    func(a *tpm2.TPMAObject) { a.FixedTPM = false },
		"decrypts":     func(a *tpm2.TPMAObject) { a.Decrypt = true },
	} {
		weak := *ak
		change(&weak.ObjectAttributes)
		e.Identity.AK = tpm2.Marshal(weak)
		p.Machine = e.Identity
		if got := failed(verify.Verify(e, p)); got != "attestation key" {
			t.Errorf("%s: failed [%s]", name, got)
		}
		if _, _, err := verify.Challenge(rand.Reader, e.Identity); err == nil {
			t.Errorf("%s: a credential was made for it", name)
		}
	}
}

func TestEnrol(t *testing.T) {
	mine, theirs := tpmtest.Open(t), tpmtest.Open(t)
	id, err := collect.Identity(mine)
	if err != nil {
		t.Fatal(err)
	}
	other, err := collect.Identity(theirs)
	if err != nil {
		t.Fatal(err)
	}
	c, secret, err := verify.Challenge(rand.Reader, id)
	if err != nil {
		t.Fatal(err)
	}
	got, err := mine.Activate(c.Credential, c.Secret)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := verify.Enrol(id, secret, evidence.Answer{Secret: got})
	if err != nil {
		t.Fatal(err)
	}
	if again, err := evidence.DecodeIdentity(raw); err != nil || !again.Equal(id) {
		t.Errorf("identity file: %v", err)
	}
	if _, err := verify.Enrol(id, secret, evidence.Answer{Secret: slices.Concat(got[:31], []byte{0})}); err == nil {
		t.Error("a wrong answer was enrolled")
	}
	if _, err := verify.Enrol(id, nil, evidence.Answer{}); err == nil {
		t.Error("no answer to no question was enrolled")
	}
	// The EK of one machine with the AK of another: neither TPM can open the credential.
	c, _, err = verify.Challenge(rand.Reader, evidence.Identity{EK: id.EK, AK: other.AK})
	if err != nil {
		t.Fatal(err)
	}
	for name, d := range map[string]*tpm.Device{"the EK's": mine, "the AK's": theirs} {
		if _, err := d.Activate(c.Credential, c.Secret); err == nil {
			t.Errorf("%s machine opened a credential for a pair that is not in one TPM", name)
		}
	}
	soft := id
	soft.EK = id.AK
	if _, _, err := verify.Challenge(rand.Reader, soft); err == nil {
		t.Error("a signing key was taken as endorsement key")
	}
}

func TestTheMakersCertificateIsForThisKey(t *testing.T) {
	e, _ := recorded(t)
	id := e.Identity
	id.EKCert = nil
	if c, err := verify.Certificate(id); c != nil || err != nil {
		t.Errorf("a TPM without a certificate: %v %v", c, err)
	}
	ek, err := tpm2.Unmarshal[tpm2.TPMTPublic](id.EK)
	if err != nil {
		t.Fatal(err)
	}
	pub, err := tpm2.Pub(*ek)
	if err != nil {
		t.Fatal(err)
	}
	maker, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	issue := func(pub any) []byte {
		ca := &x509.Certificate{SerialNumber: big.NewInt(7), Subject: pkix.Name{CommonName: "a maker of TPMs"}}
		der, err := x509.CreateCertificate(rand.Reader, ca, ca, pub, maker)
		if err != nil {
			t.Fatal(err)
		}
		return der
	}
	good := issue(pub)
	for name, der := range map[string][]byte{"as it is": good, "in a larger index": append(bytes.Clone(good), 0xff, 0xff, 0)} {
		id.EKCert = der
		if c, err := verify.Certificate(id); err != nil || c.Issuer.CommonName != "a maker of TPMs" {
			t.Errorf("%s: %v", name, err)
		}
	}
	for name, der := range map[string][]byte{"another key's": issue(&maker.PublicKey), "cut short": good[:len(good)-1], "with bytes behind it": append(bytes.Clone(good), 1), "garbage": []byte("x")} {
		id.EKCert = der
		if c, err := verify.Certificate(id); err == nil || c != nil {
			t.Errorf("a certificate %s was taken", name)
		}
	}
}

func TestCollectRefuses(t *testing.T) {
	d := tpmtest.Open(t)
	for name, c := range map[string]struct{ log, nonce, want string }{
		"no log":        {"/nonexistent", "a nonce of 16 by", "securityfs"},
		"a short nonce": {"/dev/null", "short", "nonce of 5 bytes"},
		"a long nonce":  {"/dev/null", strings.Repeat("x", 49), "nonce of 49 bytes"},
		"endless log":   {"/dev/zero", "a nonce of 16 by", "longer than any"},
	} {
		if _, err := collect.Evidence(d, c.log, []byte(c.nonce), claims); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want an error with %q", name, err, c.want)
		}
	}
}

func FuzzVerify(f *testing.F) {
	e, p := recorded(f)
	f.Add(e.Identity.AK, e.Quote, e.Signature, e.EventLog)
	f.Fuzz(func(t *testing.T, ak, quote, signature, log []byte) {
		forged := *e
		forged.Identity.AK, forged.Quote, forged.Signature, forged.EventLog = ak, quote, signature, log
		if verify.Verify(&forged, p).Trusted() && !bytes.Equal(quote, e.Quote) {
			t.Error("another quote is trusted")
		}
	})
}

func FuzzChallenge(f *testing.F) {
	e, _ := recorded(f)
	f.Add(e.Identity.EK, e.Identity.AK, e.Identity.EKCert)
	f.Fuzz(func(t *testing.T, ek, ak, cert []byte) {
		id := evidence.Identity{EK: ek, AK: ak, EKCert: cert}
		verify.Challenge(rand.Reader, id)
		verify.Certificate(id)
	})
}
