package upgrade

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	"ashlar/image/bundle"
	"ashlar/image/slots"
)

// A disk in memory. What is written is on it only after Sync.
type disk struct {
	parts  map[string][]byte
	log    *[]string
	broken string // this partition forgets what is written to it
	left   int    // writes and syncs until the power goes; 0: it stays
	dark   bool
}

var errPower = errors.New("no power")

// step counts one write or sync, and says whether the power goes in it.
func (d *disk) step() (cut bool, err error) {
	if d.dark {
		return false, errPower
	}
	if d.left > 0 {
		d.left--
		d.dark = d.left == 0
	}
	return d.dark, nil
}

func (d *disk) Size(name string) (int64, error) { return int64(len(d.parts[name])), nil }

func (d *disk) Open(name string) (Partition, error) {
	*d.log = append(*d.log, "open "+name)
	return &partition{d: d, name: name}, nil
}

type partition struct {
	d       *disk
	name    string
	pending []func()
}

func (p *partition) WriteAt(b []byte, off int64) (int, error) {
	if cut, err := p.d.step(); cut || err != nil {
		return 0, errPower
	}
	b = bytes.Clone(b)
	p.pending = append(p.pending, func() { copy(p.d.parts[p.name][off:], b) })
	return len(b), nil
}

func (p *partition) ReadAt(b []byte, off int64) (int, error) {
	return bytes.NewReader(p.d.parts[p.name]).ReadAt(b, off)
}

func (p *partition) Sync() error {
	cut, err := p.d.step()
	if err != nil {
		return err
	}
	if cut { // in whatever order the disk likes: the last half is there, the first is not
		for _, w := range p.pending[len(p.pending)/2:] {
			w()
		}
		return errPower
	}
	if p.d.broken != p.name {
		for _, w := range p.pending {
			w()
		}
	}
	p.pending = nil
	return nil
}

func (p *partition) Close() error { return nil }

type firmware struct {
	once, first slots.Slot
	err         error
	log         *[]string
	power       *disk
}

func (f *firmware) BootOnce(s slots.Slot) error {
	if cut, err := f.power.step(); cut || err != nil {
		return errPower
	}
	*f.log = append(*f.log, "boot once "+string(s))
	f.once = s
	return f.err
}

func (f *firmware) BootFirst(s slots.Slot) error {
	if cut, err := f.power.step(); cut || err != nil {
		return errPower
	}
	f.first, f.once = s, ""
	return f.err
}

// meta is the meta partition. It logs each record that reaches it.
type meta struct {
	b     []byte
	log   *[]string
	power *disk
}

func (m *meta) ReadAt(p []byte, off int64) (int, error) { return copy(p, m.b[off:]), nil }
func (m *meta) WriteAt(p []byte, off int64) (int, error) {
	if cut, err := m.power.step(); cut || err != nil {
		return 0, errPower
	}
	if r, err := slots.Decode(p); err == nil {
		*m.log = append(*m.log, fmt.Sprintf("record b %s", r.Slots[slots.B].State))
	}
	return copy(m.b[off:], p), nil
}
func (m *meta) Sync() error { return nil }

// A lab is a machine on release 1.0.0 in slot a.
type lab struct {
	t    *testing.T
	key  *ecdsa.PrivateKey
	disk *disk
	fw   *firmware
	meta *meta
	u    *Upgrader
	log  []string
}

func newLab(t *testing.T) *lab {
	l := &lab{t: t}
	var err error
	if l.key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader); err != nil {
		t.Fatal(err)
	}
	l.disk = &disk{parts: map[string][]byte{}, log: &l.log}
	for _, base := range []string{"esp", "root", "guest"} {
		for _, s := range []string{"a", "b"} {
			l.disk.parts[base+"-"+s] = bytes.Repeat([]byte("old "+s+" "), 20000)
		}
	}
	l.fw, l.meta = &firmware{log: &l.log, power: l.disk}, &meta{make([]byte, 2*slots.CopyBytes), &l.log, l.disk}
	r, err := slots.New("1.0.0", "1.0.0")
	if err != nil {
		t.Fatal(err)
	}
	if err := slots.Format(l.meta, r); err != nil {
		t.Fatal(err)
	}
	l.start(slots.A, "1.0.0")
	l.log = nil
	return l
}

// start is hostd on that slot.
func (l *lab) start(s slots.Slot, release string) {
	j, err := slots.Open(l.meta)
	if err != nil {
		l.t.Fatal(err)
	}
	l.u = New(j)
	l.u.Disk, l.u.Firmware, l.u.Release, l.u.Running, l.u.Slot = l.disk, l.fw, &l.key.PublicKey, release, s
	l.u.Say = func(string, ...any) {}
}

// boot is the init noting a boot, then hostd.
func (l *lab) boot(s slots.Slot, release string) slots.Verdict {
	j, err := slots.Open(l.meta)
	if err != nil {
		l.t.Fatal(err)
	}
	v, err := j.Booted(s)
	if err != nil {
		l.t.Fatal(err)
	}
	l.start(s, release)
	return v
}

func content(name string) []byte { return bytes.Repeat([]byte("new "+name+" "), 5000) }

func (l *lab) bundle(version string, change func(*bundle.Manifest)) []byte {
	m := bundle.Manifest{Version: version, MinUpgradeFrom: "1.0.0", Floor: "1.0.0"}
	if change != nil {
		change(&m)
	}
	var src []bundle.Source
	for _, name := range []string{"host-esp", "host-root", "guest"} {
		src = append(src, bundle.Source{Name: name, Open: func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(content(name))), nil }})
	}
	var b bytes.Buffer
	if _, err := bundle.Write(&b, m, src, l.key, l.t.TempDir()); err != nil {
		l.t.Fatal(err)
	}
	return b.Bytes()
}

func (l *lab) install(raw []byte) error {
	_, _, err := l.u.Install(context.Background(), bytes.NewReader(raw))
	return err
}

// untouched checks that the running slot is as it was and stays the one to fall back to.
func (l *lab) untouched() {
	l.t.Helper()
	for _, base := range []string{"esp", "root", "guest"} {
		if !bytes.HasPrefix(l.disk.parts[base+"-a"], []byte("old a old a")) {
			l.t.Errorf("%s-a was written", base)
		}
	}
	if r := l.u.Record(); r.Confirmed != slots.A || r.Slots[slots.A].State != slots.Good {
		l.t.Errorf("record: %v", r)
	}
}

func TestAnUpgradeIsWrittenInTheOrderThatSurvivesAPowerCut(t *testing.T) {
	l := newLab(t)
	if err := l.install(l.bundle("1.1.0", nil)); err != nil {
		t.Fatal(err)
	}
	want := "record b writing|open esp-b|open root-b|open guest-b|record b staged|record b armed|boot once b"
	if got := strings.Join(l.log, "|"); got != want {
		t.Errorf("order\n%s\nwant\n%s", got, want)
	}
	for payload, part := range map[string]string{"host-esp": "esp-b", "host-root": "root-b", "guest": "guest-b"} {
		if !bytes.HasPrefix(l.disk.parts[part], content(payload)) {
			t.Errorf("%s does not hold %s", part, payload)
		}
	}
	l.untouched()
}

func TestATrialIsConfirmed(t *testing.T) {
	l := newLab(t)
	if err := l.install(l.bundle("1.1.0", func(m *bundle.Manifest) { m.Floor = "1.1.0" })); err != nil {
		t.Fatal(err)
	}
	if v := l.boot(slots.B, "1.1.0"); v.Do != slots.Run || !l.u.OnTrial() {
		t.Fatalf("verdict %+v, on trial %v", v, l.u.OnTrial())
	}
	if err := l.install(l.bundle("1.2.0", nil)); err == nil || !strings.Contains(err.Error(), "on trial itself") {
		t.Errorf("an upgrade during a trial: %v", err)
	}
	for range 2 { // done twice it is as if done once
		if err := l.u.Confirm(); err != nil {
			t.Fatal(err)
		}
	}
	if r := l.u.Record(); r.Confirmed != slots.B || r.Floor != "1.1.0" || l.fw.first != slots.B || l.u.OnTrial() {
		t.Errorf("record %v, firmware first %s", r, l.fw.first)
	}
	if err := l.install(l.bundle("1.0.5", nil)); !errors.Is(err, bundle.ErrTooOld) {
		t.Errorf("a release below the floor: %v", err)
	}
	if err := l.install(l.bundle("1.2.0", func(m *bundle.Manifest) { m.Floor = "1.1.0" })); err != nil {
		t.Errorf("the next upgrade, into slot a: %v", err)
	}
}

func TestAFailedTrialFallsBackAndSaysWhy(t *testing.T) {
	l := newLab(t)
	if err := l.install(l.bundle("1.1.0", nil)); err != nil {
		t.Fatal(err)
	}
	l.boot(slots.B, "1.1.0")
	if err := l.u.Fail("the replica stands still at height 7"); err != nil {
		t.Fatal(err)
	}
	if l.fw.first != slots.A {
		t.Errorf("firmware first %q", l.fw.first)
	}
	if v := l.boot(slots.A, "1.0.0"); v.Do != slots.Run {
		t.Fatalf("%+v", v)
	}
	why, err := l.u.Settle()
	if err != nil || !strings.Contains(why, "1.1.0") || !strings.Contains(why, "stands still at height 7") {
		t.Errorf("%q %v", why, err)
	}
	l.untouched()
	if err := l.install(l.bundle("1.1.1", nil)); err != nil {
		t.Errorf("a mended release afterwards: %v", err)
	}
}

func TestATrialThatNeverReportsFallsBack(t *testing.T) {
	l := newLab(t)
	if err := l.install(l.bundle("1.1.0", nil)); err != nil {
		t.Fatal(err)
	}
	l.boot(slots.B, "1.1.0") // power cut here
	if v := l.boot(slots.B, "1.1.0"); v.Do != slots.Redirect || v.To != slots.A {
		t.Errorf("second boot of a trial: %+v", v)
	}
	l.boot(slots.A, "1.0.0")
	if why, _ := l.u.Settle(); !strings.Contains(why, "rebooted before it was confirmed") {
		t.Errorf("%q", why)
	}
}

func TestABadBundleLeavesTheNodeAsItWas(t *testing.T) {
	other := newLab(t)
	for _, tc := range []struct {
		name  string
		says  string
		state slots.State // of slot b afterwards
		make  func(l *lab) []byte
	}{
		{"cut short in the head", "cut short", slots.Empty, func(l *lab) []byte { return l.bundle("1.1.0", nil)[:50] }},
		{"cut short in a payload", "cut short", slots.Failed, func(l *lab) []byte { b := l.bundle("1.1.0", nil); return b[:len(b)-3] }},
		{"one bit changed in a payload", "", slots.Failed, func(l *lab) []byte { b := l.bundle("1.1.0", nil); b[len(b)-9] ^= 1; return b }},
		{"one bit changed in the manifest", "changed after it was signed", slots.Empty, func(l *lab) []byte {
			b := l.bundle("1.1.0", nil)
			return bytes.Replace(b, []byte(`"1.1.0"`), []byte(`"1.1.1"`), 1)
		}},
		{"signed by another key", "another key", slots.Empty, func(*lab) []byte { return other.bundle("1.1.0", nil) }},
		{"older than the floor", "too old", slots.Empty, func(l *lab) []byte {
			return l.bundle("0.9.0", func(m *bundle.Manifest) { m.MinUpgradeFrom, m.Floor = "0.9.0", "0.9.0" })
		}},
		{"not from this release", "1.0.5", slots.Empty, func(l *lab) []byte {
			return l.bundle("1.1.0", func(m *bundle.Manifest) { m.MinUpgradeFrom = "1.0.5" })
		}},
		{"too large for the slot", "too large", slots.Empty, func(l *lab) []byte {
			l.disk.parts["root-b"] = make([]byte, 100)
			return l.bundle("1.1.0", nil)
		}},
		{"a disk that forgets", "replace the disk", slots.Failed, func(l *lab) []byte {
			l.disk.broken = "guest-b"
			return l.bundle("1.1.0", nil)
		}},
		{"no bundle at all", "not a release bundle", slots.Empty, func(*lab) []byte { return bytes.Repeat([]byte("x"), 1000) }},
	} {
		t.Run(tc.name, func(t *testing.T) {
			l := newLab(t)
			err := l.install(tc.make(l))
			if err == nil || !strings.Contains(err.Error(), tc.says) {
				t.Errorf("error %v, want %q", err, tc.says)
			}
			l.untouched()
			if s := l.u.Record().Slots[slots.B].State; s != tc.state || l.fw.once != "" {
				t.Errorf("slot b is %s, firmware's next %q", s, l.fw.once)
			}
			l.disk.broken, l.disk.parts["root-b"] = "", make([]byte, 1<<20)
			if err := l.install(l.bundle("1.1.0", nil)); err != nil {
				t.Errorf("a good bundle afterwards: %v", err)
			}
		})
	}
}

func TestAnArmedReleaseGivesWay(t *testing.T) {
	l := newLab(t)
	l.fw.err = errors.New("no space in NVRAM")
	if err := l.install(l.bundle("1.1.0", nil)); err == nil || !strings.Contains(err.Error(), "NVRAM") {
		t.Fatalf("%v", err)
	}
	l.fw.err = nil
	if err := l.install(l.bundle("1.1.0", nil)); err != nil || l.fw.once != slots.B {
		t.Errorf("again: %v, next %q", err, l.fw.once)
	}
}

// blocked holds an upgrade until it is let go.
type blocked struct{ reading, goOn chan struct{} }

func (b blocked) Read([]byte) (int, error) {
	close(b.reading)
	<-b.goOn
	return 0, io.EOF
}

func TestOneUpgradeAtATime(t *testing.T) {
	l := newLab(t)
	b := blocked{make(chan struct{}), make(chan struct{})}
	done := make(chan error)
	go func() {
		_, _, err := l.u.Install(context.Background(), b)
		done <- err
	}()
	<-b.reading
	if err := l.install(l.bundle("1.1.0", nil)); !errors.Is(err, ErrBusy) {
		t.Errorf("%v", err)
	}
	close(b.goOn)
	if err := <-done; err == nil {
		t.Error("an empty stream was installed")
	}
}

// Whatever a firmware without variables finds in slot b, it is the old release whole, the new one whole, or no ESP.
func TestAPowerCutAtAnyWriteLeavesNoSlotThatBootsInHalf(t *testing.T) {
	olds, nones, news := 0, 0, 0
	for cut := 1; ; cut++ {
		l := newLab(t)
		raw := l.bundle("1.1.0", nil)
		l.disk.left = cut
		err := l.install(raw)
		if err == nil {
			break
		}
		l.untouched()
		old := func(p string) bool { return bytes.HasPrefix(l.disk.parts[p], []byte("old b old b")) }
		whole := func(payload, p string) bool { return bytes.HasPrefix(l.disk.parts[p], content(payload)) }
		switch head := l.disk.parts["esp-b"][:headBytes]; {
		case bytes.Equal(head, make([]byte, headBytes)):
			nones++
		case old("esp-b"):
			olds++
			if !old("root-b") || !old("guest-b") {
				t.Errorf("cut %d: the old ESP boots, and its root is gone", cut)
			}
		default:
			news++
			if !whole("host-esp", "esp-b") || !whole("host-root", "root-b") || !whole("guest", "guest-b") {
				t.Errorf("cut %d: the new ESP boots, and the release is not whole", cut)
			}
		}
	}
	if olds == 0 || nones == 0 || news == 0 {
		t.Errorf("%d cuts left the old slot, %d none, %d the new one: the test does not cut where it should", olds, nones, news)
	}
}

// The firmware insists on the old slot, which was good once: it runs, and must not be written.
func TestTheRunningSlotIsNeverWritten(t *testing.T) {
	l := newLab(t)
	if err := l.install(l.bundle("1.1.0", nil)); err != nil {
		t.Fatal(err)
	}
	l.boot(slots.B, "1.1.0")
	if err := l.u.Confirm(); err != nil {
		t.Fatal(err)
	}
	for range slots.MaxRedirects {
		if v := l.boot(slots.A, "1.0.0"); v.Do != slots.Redirect {
			t.Fatalf("%+v", v)
		}
	}
	if v := l.boot(slots.A, "1.0.0"); v.Do != slots.Run {
		t.Fatalf("%+v", v)
	}
	l.log = nil
	if err := l.install(l.bundle("1.2.0", nil)); err == nil || !strings.Contains(err.Error(), "what runs is never written") || len(l.log) != 0 {
		t.Errorf("%v, wrote %q", err, l.log)
	}
}

func TestAFirmwareThatTakesNoOrderDoesNotUndoAConfirmation(t *testing.T) {
	l := newLab(t)
	if err := l.install(l.bundle("1.1.0", nil)); err != nil {
		t.Fatal(err)
	}
	l.boot(slots.B, "1.1.0")
	said := ""
	l.u.Say = func(format string, args ...any) { said += fmt.Sprintf(format, args...) }
	l.fw.err = errors.New("no space in NVRAM")
	if err := l.u.Confirm(); err != nil || l.u.OnTrial() || !strings.Contains(said, "NVRAM") {
		t.Errorf("%v, on trial %v, said %q", err, l.u.OnTrial(), said)
	}
}
