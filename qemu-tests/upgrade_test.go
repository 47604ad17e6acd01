package qemutests

import (
	"bytes"
	"context"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"ashlar/image/bundle"
	"ashlar/image/keys"
	"ashlar/image/layout"
	"ashlar/image/slots"
	"ashlar/qemu-tests/lab"
)

// The life of a node: it boots as predicted, serves clients, refuses bad
// bundles, survives a power cut in the middle of an upgrade, is upgraded, gives
// up a release that does not work, and keeps its canister's count all along.
func TestTheLifeOfANode(t *testing.T) {
	first, second := current(t), next(t)
	m := newMachine(t, first, nodeConf)

	t.Log("power-on, by the first release")
	m.on()
	m.ready()
	m.proves(first)
	t.Log(m.clients(false))
	m.refusesBadBundles(t, first, second)

	t.Log("the plug is pulled while the idle slot is written")
	m.pullDuringUpgrade(second)
	m.on()
	m.ready()
	m.runs(first, slots.A)
	m.clients(true)

	t.Log("the same upgrade, this time to its end")
	m.upgrade(second)
	m.runs(second, slots.B)
	m.clients(true)
	m.trusted(second)

	t.Log("a release whose guest does not start falls back by itself")
	m.fallsBack(broken(t, second), "the guest")
	m.runs(second, slots.B)
	m.clients(true)

	t.Log("a release that loses power on its trial falls back, too")
	m.mark = m.vm.Console.Now()
	m.nodectlOK("upgrade", "--url", m.hostURL, "--bundle", third(t, second), "--key", m.path("admin.key"), "--no-wait")
	m.says(`ashlar init [0-9.]+ record .*trial`)
	m.pull()
	m.on()
	m.ready()
	m.runs(second, slots.B)
	m.clients(false) // it still counts

	t.Log("the power button")
	m.off()
}

func (m *machine) nodectlOK(args ...string) string {
	m.t.Helper()
	said, err := m.nodectl(args...)
	if err != nil {
		m.t.Fatalf("nodectl %s: %v\n%s%s", args[0], err, said, m.tail())
	}
	return said
}

// runs checks which release runs, from where, and that it is the confirmed one.
func (m *machine) runs(b built, slot slots.Slot) {
	m.t.Helper()
	if s := m.status(); s.Version != b.version || s.Slot != slot || s.Slots.Confirmed != slot || s.Trial {
		m.t.Fatalf("the node runs %s from %s (confirmed %s, trial %v), want %s from %s", s.Version, s.Slot, s.Slots.Confirmed, s.Trial, b.version, slot)
	}
}

// upgrade hands the bundle over and sees it confirmed.
func (m *machine) upgrade(b built) {
	m.t.Helper()
	said := m.nodectlOK("upgrade", "--url", m.hostURL, "--bundle", b.bundle(), "--key", m.path("admin.key"), "--timeout", "8m")
	if !strings.Contains(said, "is confirmed") {
		m.t.Fatalf("nodectl upgrade said\n%s", said)
	}
}

// fallsBack hands over a release that cannot prove itself.
func (m *machine) fallsBack(file, why string) {
	m.t.Helper()
	m.mark = m.vm.Console.Now()
	said, err := m.nodectl("upgrade", "--url", m.hostURL, "--bundle", file, "--key", m.path("admin.key"), "--timeout", "12m")
	if err == nil || !strings.Contains(said, "the node is back on release") {
		m.t.Fatalf("nodectl upgrade: %v\n%s%s", err, said, m.tail())
	}
	m.says(`ashlar init [0-9.]+ record .*trial`)
	m.says(`ashlar host [0-9.]+ ready`)
}

// pullDuringUpgrade kills QEMU when a part of the guest's slot is on the disk.
func (m *machine) pullDuringUpgrade(b built) {
	m.t.Helper()
	ctx, cancel := context.WithTimeout(m.t.Context(), bootLimit)
	defer cancel()
	const half = 20 << 20 // somewhere inside of the root
	empty := make([]byte, 4096)
	must(m.t, lab.Patch(m.path("disk"), layout.Root+"-b", half, empty)) // a bad bundle may have come this far before
	sent := make(chan struct{})
	go func() {
		defer close(sent)
		m.nodectl("upgrade", "--url", m.hostURL, "--bundle", b.bundle(), "--key", m.path("admin.key"), "--no-wait")
	}()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		b, err := lab.Peek(m.path("disk"), layout.Root+"-b", half, int64(len(empty)))
		must(m.t, err)
		if !bytes.Equal(b, empty) {
			break
		}
		select {
		case <-tick.C:
		case <-sent:
			m.t.Fatalf("the upgrade ended before its slot was half written\n%s", m.tail())
		case <-ctx.Done():
			m.t.Fatalf("the slot is never written\n%s", m.tail())
		}
	}
	m.pull()
	<-sent
	meta, err := lab.Peek(m.path("disk"), layout.Meta, 0, 2*slots.CopyBytes)
	must(m.t, err)
	j, err := slots.Open(device{bytes.NewReader(meta)})
	must(m.t, err)
	if r := j.Record(); r.Confirmed != slots.A || r.Slots[slots.B].State != slots.Writing {
		m.t.Errorf("after the power cut the record says %s", r)
	}
}

// device is a meta partition that is only read.
type device struct{ *bytes.Reader }

func (device) WriteAt([]byte, int64) (int, error) { return 0, io.ErrClosedPipe }
func (device) Sync() error                        { return nil }

// refusesBadBundles: each has its own sentence, and the node stays as it was.
func (m *machine) refusesBadBundles(t *testing.T, running, good built) {
	t.Helper()
	before := m.status().Slots
	raw, err := os.ReadFile(good.bundle())
	must(t, err)
	for name, c := range map[string]struct {
		file string
		says string
	}{
		"cut short":                 {save(t, raw[:len(raw)/2]), "cut short"},
		"one bit of the head":       {save(t, flipped(raw, 200)), "changed after it was signed"},
		"one bit of the payload":    {save(t, flipped(raw, len(raw)-1000)), "changed after it was signed"},
		"no bundle":                 {save(t, []byte(strings.Repeat("not a bundle ", 100))), "not a release bundle"},
		"another key":               {craft(t, good, func(*bundle.Manifest) {}, stranger(t)), "signed by another key"},
		"older than the floor":      {craft(t, good, func(m *bundle.Manifest) { m.Version, m.MinUpgradeFrom, m.Floor = "0.0.9", "0.0.1", "0.0.1" }, nil), "too old"},
		"for newer nodes only":      {craft(t, good, func(m *bundle.Manifest) { m.MinUpgradeFrom = "0.1.9" }, nil), "cannot follow the running one"},
		"too large for its slot":    {large(t, good), "too large for the slot"},
		"not by the administrator ": {good.bundle(), "admin"},
	} {
		key := m.path("admin.key")
		if strings.HasPrefix(name, "not by") {
			key = filepath.Join(t.TempDir(), "key")
			m.nodectlOK("keygen", key)
		}
		said, err := m.nodectl("upgrade", "--url", m.hostURL, "--bundle", c.file, "--key", key)
		if err == nil || !strings.Contains(said, c.says) {
			t.Errorf("bundle %s: %v, want %q in\n%s", name, err, c.says, said)
		}
	}
	if s := m.status(); s.Version != running.version || s.Slots.Confirmed != before.Confirmed || s.Slots.Slots[before.Confirmed] != before.Slots[before.Confirmed] {
		t.Errorf("bad bundles left a trace: %s, before %s", s.Slots, before)
	}
}

func save(t *testing.T, b []byte) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "bundle")
	must(t, os.WriteFile(file, b, 0o600))
	return file
}

func flipped(raw []byte, at int) []byte {
	b := bytes.Clone(raw)
	b[at] ^= 1
	return b
}

// stranger is a development key set that nobody has enrolled.
func stranger(t *testing.T) *keys.Set {
	t.Helper()
	set, err := keys.Dev(t.TempDir())
	must(t, err)
	return set
}

// ours are the keys that the releases under test are signed with.
func ours(t *testing.T) *keys.Set {
	t.Helper()
	set, err := keys.Load(filepath.Join(out(t), "..", "keys"))
	must(t, err)
	return set
}

// payloads reads a bundle's payloads, uncompressed.
func payloads(t *testing.T, b built) map[string][]byte {
	t.Helper()
	f, err := os.Open(b.bundle())
	must(t, err)
	defer f.Close()
	r, err := bundle.Open(f, &ours(t).Release.PublicKey)
	must(t, err)
	parts := map[string]*bytes.Buffer{}
	must(t, r.Extract(func(p bundle.Payload) (io.Writer, error) {
		parts[p.Name] = &bytes.Buffer{}
		return parts[p.Name], nil
	}))
	out := map[string][]byte{}
	for name, buf := range parts {
		out[name] = buf.Bytes()
	}
	return out
}

// craft signs a bundle with another manifest: by our key, or by that of set.
func craft(t *testing.T, from built, change func(*bundle.Manifest), set *keys.Set) string {
	t.Helper()
	return write(t, from, change, set, map[string][]byte{"host-esp": []byte("esp"), "host-root": []byte("root"), "guest": []byte("guest")})
}

// large is one byte larger than the guest's slot.
func large(t *testing.T, from built) string {
	t.Helper()
	return write(t, from, func(*bundle.Manifest) {}, nil, map[string][]byte{"host-esp": []byte("esp"), "host-root": []byte("root"), "guest": make([]byte, layout.Size(layout.Guest)+1)})
}

// third is the release under a yet higher number.
func third(t *testing.T, from built) string {
	t.Helper()
	return write(t, from, func(m *bundle.Manifest) { m.Version = "0.3.0-test" }, nil, payloads(t, from))
}

// broken is a release whose guest image carries another signature than the host accepts.
func broken(t *testing.T, from built) string {
	t.Helper()
	p := payloads(t, from)
	guest := p["guest"]
	at := bytes.Index(guest, []byte("ashlar.role=guest"))
	if at < 0 {
		t.Fatal("the guest's image has no command line")
	}
	guest[at+len("ashlar.role=")] ^= 1
	return write(t, from, func(m *bundle.Manifest) { m.Version = "0.2.1-test" }, nil, p)
}

func write(t *testing.T, from built, change func(*bundle.Manifest), set *keys.Set, parts map[string][]byte) string {
	t.Helper()
	if set == nil {
		set = ours(t)
	}
	m := from.manifest(t)
	change(&m)
	var sources []bundle.Source
	for _, name := range []string{"host-esp", "host-root", "guest"} {
		sources = append(sources, bundle.Source{Name: name, Open: func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(parts[name])), nil }})
	}
	f, err := os.Create(filepath.Join(t.TempDir(), "bundle"))
	must(t, err)
	_, err = bundle.Write(f, m, sources, set.Release, t.TempDir())
	must(t, err)
	must(t, f.Close())
	return f.Name()
}
