package measure

import (
	"bytes"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"os"
	"strings"
	"testing"

	"ashlar/attestation/evidence"
	"ashlar/image/bundle"
	"ashlar/image/pe/petest"
	"ashlar/image/uki"
	"ashlar/image/varstore"
)

const recorded = "../evidence/testdata/ovmf-2022.11/"

func read(t *testing.T, name string) []byte {
	t.Helper()
	raw, err := os.ReadFile(recorded + name)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

func recordedKeys(t *testing.T) varstore.Keys {
	cert := func(name string) *x509.Certificate {
		c, err := x509.ParseCertificate(read(t, name))
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	return varstore.Keys{PK: cert("PK.der"), KEK: cert("KEK.der"), DB: cert("db.der")}
}

// What was predicted for the recorded boot is what its TPM held, event by event.
func TestRecordedBoot(t *testing.T) {
	e, err := evidence.Decode(bytes.NewReader(read(t, "evidence.json")))
	if err != nil {
		t.Fatal(err)
	}
	log, err := evidence.ParseLog(e.EventLog)
	if err != nil {
		t.Fatal(err)
	}
	var predicted bundle.HostMeasurements
	if err := json.Unmarshal(read(t, "measurements.json"), &predicted); err != nil {
		t.Fatal(err)
	}
	if got := secureBoot(recordedKeys(t)); got != e.PCRs[7] || got != evidence.Digest(predicted.PCR7) {
		t.Errorf("PCR 7: %s from the keys, %s measured, %s predicted then", got, e.PCRs[7], predicted.PCR7)
	}
	if got := application(predicted.Authenticode, 0); got != e.PCRs[4] || got != evidence.Digest(predicted.PCR4[0]) {
		t.Errorf("PCR 4: %s from the UKI, %s measured, %s predicted then", got, e.PCRs[4], predicted.PCR4[0])
	}
	if evidence.Digest(predicted.PCR11) != e.PCRs[11] {
		t.Errorf("PCR 11: %s predicted then, %s measured", predicted.PCR11, e.PCRs[11])
	}
	events := log.Of(11)
	for i, name := range []string{".linux", ".osrel", ".cmdline", ".initrd"} {
		if len(events) != 8 || events[2*i].Digest != sum([]byte(name+"\x00")) || measured[i] != name {
			t.Errorf("PCR 11: the stub did not measure %s as its section %d of %d", name, i, len(events)/2)
		}
	}
	if e.PCRs[12] != Config(sha256.Sum256([]byte("config"))) || e.PCRs[13] != evidence.Digest(Guest([]byte("guest")).PCR13) {
		t.Error("PCR 12 or 13 is not what hostd's extend gives")
	}
}

// A boot in which BootNext named an image that Secure Boot refused, and BootOrder the good one: OVMF extended "Returning ..." and
// "Calling ..." once more, and nothing of the refused image.
func TestRecordedFailedOption(t *testing.T) {
	app, err := hex.DecodeString("9205662ebdaf0e1aea9db09b239bc164d671cd0558fef06dec0948a79909128d")
	if err != nil {
		t.Fatal(err)
	}
	if got := application([sha256.Size]byte(app), 1).String(); !strings.HasPrefix(got, "a0aa589acd29") { // what that console showed of it
		t.Errorf("PCR 4 after a failed option: %s", got)
	}
}

func build(t *testing.T, change func(*uki.Parts)) []byte {
	p := uki.Parts{OSRelease: "ID=ashlar\n", CommandLine: "quiet", Initrd: []byte("initrd"), Kernel: []byte("kernel")}
	change(&p)
	raw, err := uki.Build(petest.Stub(), p)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

func TestEveryPartCounts(t *testing.T) {
	keys := recordedKeys(t)
	base, err := Host(build(t, func(*uki.Parts) {}), keys)
	if err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(*uki.Parts){
		"osrel":   func(p *uki.Parts) { p.OSRelease += "X=1\n" },
		"cmdline": func(p *uki.Parts) { p.CommandLine += " init=/bin/sh" },
		"initrd":  func(p *uki.Parts) { p.Initrd = append(p.Initrd, 0) },
		"kernel":  func(p *uki.Parts) { p.Kernel = append(p.Kernel, 0) },
	} {
		m, err := Host(build(t, change), keys)
		if err != nil || m.PCR11 == base.PCR11 || m.PCR4[0] == base.PCR4[0] || m.PCR7 != base.PCR7 {
			t.Errorf("%s changed, %v: PCR 11 differs %v, PCR 4 differs %v, PCR 7 is the same %v", name, err, m.PCR11 != base.PCR11, m.PCR4[0] != base.PCR4[0], m.PCR7 == base.PCR7)
		}
	}
	keys.PK, keys.KEK = keys.KEK, keys.PK
	if m, err := Host(build(t, func(*uki.Parts) {}), keys); err != nil || m.PCR7 == base.PCR7 || m.PCR11 != base.PCR11 {
		t.Errorf("other keys: %v", err)
	}
	seen := map[bundle.Digest]bool{}
	for _, d := range base.PCR4 {
		seen[d] = true
	}
	if len(seen) != maxFailedOptions+1 {
		t.Errorf("%d values of PCR 4 for 0 to %d failed options", len(seen), maxFailedOptions)
	}
}

func TestRefused(t *testing.T) {
	keys := recordedKeys(t)
	if _, err := Host(petest.Stub(), keys); err == nil || !strings.Contains(err.Error(), "no UKI") {
		t.Errorf("a stub alone: %v", err)
	}
	raw := build(t, func(*uki.Parts) {})
	other := bytes.Replace(raw, []byte("systemd-stub 252"), []byte("systemd-stub 254"), 1)
	if _, err := Host(other, keys); err == nil || !strings.Contains(err.Error(), "another stub measures other things") {
		t.Errorf("another stub: %v", err)
	}
	if _, err := Host(raw[:len(raw)-10], keys); err == nil {
		t.Error("a UKI cut short was predicted")
	}
}

func TestExpect(t *testing.T) {
	h, err := Host(build(t, func(*uki.Parts) {}), recordedKeys(t))
	if err != nil {
		t.Fatal(err)
	}
	g := Guest([]byte("guest"))
	x := Expect(bundle.Manifest{Version: "1.2.3", Measurements: bundle.Measurements{Host: h, Guest: g}})
	if x.Version != "1.2.3" || x.PCR4[0] != evidence.Digest(h.PCR4[0]) || x.PCR7 != evidence.Digest(h.PCR7) || x.PCR11 != evidence.Digest(h.PCR11) ||
		x.PCR13 != evidence.Digest(g.PCR13) || x.Application != evidence.Digest(h.Authenticode) {
		t.Errorf("%+v", x)
	}
}
