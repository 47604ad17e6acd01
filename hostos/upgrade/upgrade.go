// Package upgrade puts a release into the idle slot and sees it through its trial.
//
//	Install: bundle ── signed? fits? ──> record: writing ──> partitions ──> synced, read back ──> record: staged, armed
//	         ──> firmware: boot it once ──> the caller restarts
//	trial:   the init has noted the boot ── health gate ──> Confirm: record, firmware's order
//	                                     └─ anything else ─> Fail: record; the caller restarts
//
// Each step can be done again, and the machine can lose power after any of them:
// until Confirm, all records point to the confirmed slot. The order of writing is
// what makes that so: the record first says that the idle slot is worth nothing,
// and only after the last byte was read back that it is worth a try. What is
// signed, and by whom, the host checks itself: see image/bundle. While the slot is
// not whole its ESP has no boot sector: see esp.go.
package upgrade

import (
	"context"
	"crypto/ecdsa"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"

	"ashlar/image/bundle"
	"ashlar/image/layout"
	"ashlar/image/slots"
)

const (
	copyBytes  = 1 << 20 // the unit of reading back
	espPayload = "host-esp"
)

// partitions says where a payload goes.
var partitions = map[string]string{
	espPayload:  layout.ESP,
	"host-root": layout.Root,
	"guest":     layout.Guest,
}

// A Partition is open for writing.
type Partition interface {
	io.WriterAt
	io.ReaderAt
	// Sync writes everything to the disk and forgets what was cached, so that
	// what is read next comes from the disk.
	Sync() error
	Close() error
}

// A Disk is the machine's disk.
type Disk interface {
	Size(partition string) (int64, error)
	Open(partition string) (Partition, error)
}

// Firmware chooses what boots.
type Firmware interface {
	BootOnce(s slots.Slot) error // the next boot, and only that
	BootFirst(s slots.Slot) error
}

// ErrBusy says that an upgrade runs already.
var ErrBusy = errors.New("another upgrade is being written: wait for its restart")

// An Upgrader is the one way to change slots on a running host.
type Upgrader struct {
	Disk     Disk
	Firmware Firmware
	Release  *ecdsa.PublicKey
	Running  string     // the release that runs
	Slot     slots.Slot // where it lies
	Say      func(format string, args ...any)

	installing sync.Mutex
	mu         sync.Mutex // over journal
	journal    *slots.Journal
}

// New makes an upgrader over the record.
func New(j *slots.Journal) *Upgrader { return &Upgrader{journal: j} }

// Record is the slot record now.
func (u *Upgrader) Record() slots.Record {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.journal.Record()
}

// OnTrial says that the running release has not proved itself yet.
func (u *Upgrader) OnTrial() bool {
	return u.Record().Slots[u.Slot].State == slots.Trial
}

// Settle makes the firmware prefer the confirmed slot, whatever happened to its
// variables, and tells why a release on trial did not stay, if one did not.
func (u *Upgrader) Settle() (string, error) {
	r := u.Record()
	if err := u.Firmware.BootFirst(r.Confirmed); err != nil {
		return "", err
	}
	if e := r.Slots[r.Idle()]; e.State == slots.Failed && !u.OnTrial() {
		return fmt.Sprintf("release %s in slot %s failed: %s", e.Version, r.Idle(), e.Reason), nil
	}
	return "", nil
}

// Install writes the release in r to the idle slot and arms it. On error the
// running release and the record's confirmed slot are untouched.
func (u *Upgrader) Install(ctx context.Context, r io.Reader) (string, slots.Slot, error) {
	if !u.installing.TryLock() {
		return "", "", ErrBusy
	}
	defer u.installing.Unlock()
	if u.OnTrial() {
		return "", "", fmt.Errorf("release %s is on trial itself: wait until it is confirmed", u.Running)
	}
	b, err := bundle.Open(r, u.Release)
	if err != nil {
		return "", "", err
	}
	idle := u.Record().Idle()
	if idle == u.Slot { // the firmware could not be brought to start the confirmed slot: see slots.Booted
		return "", "", fmt.Errorf("slot %s runs although slot %s is the confirmed one, and what runs is never written: make the firmware start slot %s, then upgrade",
			u.Slot, u.Record().Confirmed, u.Record().Confirmed)
	}
	if err := u.fits(b.Manifest, idle); err != nil {
		return "", "", err
	}
	if err := u.prepare(idle, b.Manifest); err != nil {
		return "", "", err
	}
	if err := u.write(ctx, b, idle); err != nil {
		err = fmt.Errorf("release %s was not installed, release %s goes on: %w", b.Manifest.Version, u.Running, err)
		return "", "", errors.Join(err, u.apply(func(r slots.Record) (slots.Record, error) { return r.Fail(idle, err.Error()) }))
	}
	return b.Manifest.Version, idle, u.arm(idle)
}

// prepare records that the idle slot is worth nothing from now on. A release
// that was armed but never booted gives way.
func (u *Upgrader) prepare(idle slots.Slot, m bundle.Manifest) error {
	return u.apply(func(r slots.Record) (slots.Record, error) {
		if r.Slots[idle].State == slots.Armed {
			var err error
			if r, err = r.Fail(idle, "another release took its place"); err != nil {
				return r, err
			}
		}
		return r.Prepare(idle, m.Version, m.Floor)
	})
}

func (u *Upgrader) fits(m bundle.Manifest, idle slots.Slot) error {
	fit := bundle.Fit{Running: u.Running, Floor: u.Record().Floor, Slots: map[string]int64{}}
	for payload, base := range partitions {
		size, err := u.Disk.Size(name(base, idle))
		if err != nil {
			return err
		}
		fit.Slots[payload] = size
	}
	return m.Check(fit)
}

// write extracts the payloads, and then reads back what the disk has.
func (u *Upgrader) write(ctx context.Context, b *bundle.Reader, idle slots.Slot) error {
	open := map[string]Partition{}
	defer func() {
		for _, p := range open {
			p.Close()
		}
	}()
	esp, err := u.blankESP(idle)
	if err != nil {
		return err
	}
	open[espPayload] = esp
	err = b.Extract(func(p bundle.Payload) (io.Writer, error) {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		u.Say("upgrade: writing %s, %d MiB", p.Name, p.Size>>20)
		if p.Name == espPayload {
			return io.NewOffsetWriter(esp, 0), nil
		}
		part, err := u.Disk.Open(name(partitions[p.Name], idle))
		if err != nil {
			return nil, err
		}
		open[p.Name] = part
		return io.NewOffsetWriter(part, 0), nil
	})
	if err != nil {
		return err
	}
	for _, p := range b.Manifest.Payloads {
		if p.Name == espPayload {
			continue
		}
		if err := readBack(open[p.Name], p); err != nil {
			return err
		}
	}
	if err := esp.reveal(); err != nil {
		return err
	}
	return readBack(esp, b.Manifest.Payloads[slices.IndexFunc(b.Manifest.Payloads, func(p bundle.Payload) bool { return p.Name == espPayload })])
}

func readBack(part Partition, p bundle.Payload) error {
	if err := part.Sync(); err != nil {
		return fmt.Errorf("write %s to the disk: %w", p.Name, err)
	}
	h := sha256.New()
	if _, err := io.CopyBuffer(h, io.NewSectionReader(part, 0, p.Size), make([]byte, copyBytes)); err != nil {
		return fmt.Errorf("read %s back: %w", p.Name, err)
	}
	if bundle.Digest(h.Sum(nil)) != p.SHA256 {
		return fmt.Errorf("%s read back from the disk is not what was written: replace the disk", p.Name)
	}
	return nil
}

func (u *Upgrader) arm(idle slots.Slot) error {
	for _, step := range []func(slots.Record) (slots.Record, error){
		func(r slots.Record) (slots.Record, error) { return r.Staged(idle) },
		func(r slots.Record) (slots.Record, error) { return r.Arm(idle) },
	} {
		if err := u.apply(step); err != nil {
			return err
		}
	}
	if err := u.Firmware.BootOnce(idle); err != nil {
		return fmt.Errorf("the release is written, but the firmware does not take it: %w", err)
	}
	return nil
}

// Confirm makes the running release the one that everything falls back to.
func (u *Upgrader) Confirm() error {
	if err := u.apply(func(r slots.Record) (slots.Record, error) { return r.Confirm(u.Slot) }); err != nil {
		return err
	}
	if err := u.Firmware.BootFirst(u.Slot); err != nil { // Settle tries again at each boot, and until then the init redirects
		u.Say("upgrade: the release is confirmed, but the firmware does not take the boot order: %v", err)
	}
	return nil
}

// Fail gives the running release, which is on trial, up.
func (u *Upgrader) Fail(why string) error {
	err := u.apply(func(r slots.Record) (slots.Record, error) { return r.Fail(u.Slot, why) })
	return errors.Join(err, u.Firmware.BootFirst(u.Record().Confirmed))
}

func (u *Upgrader) apply(t func(slots.Record) (slots.Record, error)) error {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.journal.Apply(t)
}

func name(base string, s slots.Slot) string { return base + "-" + string(s) }
