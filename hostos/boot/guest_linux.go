package boot

import (
	"context"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"net"
	"os"
	"runtime"
	"strings"
	"time"

	"ashlar/guestos/hostlink"
	"ashlar/hardware/block"
	"ashlar/hostos/network"
	"ashlar/hostos/vm"
	"ashlar/image/layout"
	"ashlar/internal/phases"
)

const (
	certFile       = "/etc/ashlar/db.pem" // who signs our UKIs
	hostMemoryMiB  = 384                  // kept from the guest: the host needs <= 300, and a reserve
	leastMemoryMiB = 256
	stopGuest      = 90 * time.Second // the replica has 60 s of these
	silence        = 5 * time.Minute  // a guest that says nothing for so long hangs; its first word may take as long under emulation
	silenceCheck   = 5 * time.Second
)

// prefetched is the guest's image, opened while the devices are still coming up.
type prefetched struct {
	img    *vm.Image
	device string
	err    error
}

// prefetch starts what the phases "image" and "guest" will wait for: reading and
// checking the guest's UKI takes a second of one processor, reading QEMU through
// dm-verity some more, and the phases before need neither.
func (h *Host) prefetch(ctx context.Context) {
	h.ahead = make(chan prefetched, 1)
	go func() {
		var p prefetched
		p.img, p.device, p.err = h.openImage()
		h.ahead <- p
	}()
	go vm.Warm(ctx)
}

func (h *Host) openImage() (*vm.Image, string, error) {
	system, err := h.partition(layout.Guest + "-" + string(h.slot))
	if err != nil {
		return nil, "", err
	}
	cert, err := readCertificate(certFile)
	if err != nil {
		return nil, "", err
	}
	img, err := vm.Open(system.Device, cert)
	return img, system.Device, err
}

// image takes the guest of our slot and measures it, before anything of it runs.
func (h *Host) image(ctx context.Context) (string, error) {
	var p prefetched
	select {
	case p = <-h.ahead:
	case <-ctx.Done():
		return "", ctx.Err()
	}
	if p.err != nil {
		return "", p.err
	}
	img := p.img
	if img.Version != h.line.Version { // an old guest is signed as well; what it had that was mended is why there is a new one
		return "", fmt.Errorf("the guest in slot %s is of release %s, and this host of %s: a slot holds one release; write it again", h.slot, img.Version, h.line.Version)
	}
	data, err := h.partition(layout.Data)
	if err != nil {
		return "", err
	}
	measured, err := h.measureGuest(img.Digest)
	if err != nil {
		return "", err
	}
	total := memory()["MemTotal"] / 1024
	h.runner = &vm.Runner{Image: img, Log: h.log, Stop: h.stopGuest, StopTimeout: stopGuest, Machine: vm.Machine{
		KVM: h.kvm == "ok", Emulated: vm.Emulated(), System: p.device, Data: data.Device,
		Tap: network.Tap, MAC: network.MAC(), MemoryMiB: guestMemory(h.conf.GuestMemoryMiB, int(total)), CPUs: guestCPUs(h.conf.GuestCPUs, runtime.NumCPU(), vm.Emulated()),
	}}
	if h.runner.Machine.MemoryMiB < leastMemoryMiB {
		return "", fmt.Errorf("the machine has %d MiB of memory: too little for a guest of %d MiB beside the host", total, leastMemoryMiB)
	}
	return fmt.Sprintf("%x, %s", img.Digest[:8], measured), nil
}

func guestMemory(want, totalMiB int) int {
	rest := totalMiB - hostMemoryMiB
	if want > 0 && want < rest {
		return want
	}
	return rest
}

// guestCPUs is all that there are, or as many as the configuration says. Where
// the host is itself emulated it is one: QEMU's multi-threaded emulator runs
// stale int3s while the host's KVM patches its own code for the second one
// ("Oops: int3" in kvm_arch_vcpu_ioctl_run, seen in one of six boots), and the
// guest boots faster with one.
func guestCPUs(want, have int, emulated bool) int {
	if want == 0 && emulated {
		return 1
	}
	if want > 0 && want < have {
		return want
	}
	return have
}

func (h *Host) partition(name string) (block.Partition, error) {
	parts, err := block.List(block.Sys())
	if err != nil {
		return block.Partition{}, err
	}
	return block.Named(block.OnDisk(parts, h.disk), name)
}

func readCertificate(path string) (*x509.Certificate, error) {
	raw, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("the certificate that signs guests: %w", err)
	}
	p, _ := pem.Decode(raw)
	if p == nil {
		return nil, fmt.Errorf("%s is not PEM", path)
	}
	return x509.ParseCertificate(p.Bytes)
}

// guest listens for the guest and starts it.
func (h *Host) guest(ctx context.Context) (string, error) {
	l, err := hostlink.Listen()
	if err != nil {
		return "", err
	}
	h.services.Start(ctx, "hostlink", func(ctx context.Context) error { return h.serveLink(ctx, l) })
	h.services.Start(ctx, "guest", h.runGuest)
	m := h.runner.Machine
	return fmt.Sprintf("started, %d MiB, %d processors", m.MemoryMiB, m.CPUs), nil
}

// runGuest runs one life of the guest, and ends it when it has fallen silent.
func (h *Host) runGuest(ctx context.Context) error {
	h.mu.Lock()
	h.heard, h.told = time.Now(), 0
	h.mu.Unlock()
	life, kill := context.WithCancelCause(ctx)
	defer kill(nil)
	go h.watchSilence(life, kill)
	err := h.runner.Run(life)
	h.mu.Lock()
	h.health = hostlink.Health{Message: "the guest does not run"}
	h.mu.Unlock()
	if ctx.Err() == nil && life.Err() != nil {
		return context.Cause(life)
	}
	return err
}

func (h *Host) watchSilence(ctx context.Context, kill context.CancelCauseFunc) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-time.After(silenceCheck):
		}
		h.mu.Lock()
		quiet := time.Since(h.heard)
		h.mu.Unlock()
		if quiet > silence {
			kill(fmt.Errorf("the guest has said nothing for %v", silence))
			return
		}
	}
}

// serveLink talks to one guest at a time: a new connection replaces the old.
func (h *Host) serveLink(ctx context.Context, l net.Listener) error {
	stop := context.AfterFunc(ctx, func() { l.Close() })
	defer stop()
	for {
		raw, err := l.Accept()
		if err != nil {
			return err
		}
		conn, err := hostlink.Accept(raw, network.Guest(h.conf))
		if err != nil {
			h.log.Say("hostlink: %v", err)
			raw.Close()
			continue
		}
		h.runner.Booted()
		h.linked(conn)
		go func() { // outlives ctx: the guest is asked to stop over it, after ctx has ended
			err := conn.Serve(context.WithoutCancel(ctx), h.hear)
			h.log.Printf("hostlink: %v", err)
			conn.Close()
		}()
	}
}

func (h *Host) linked(conn *hostlink.Conn) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.link != nil {
		h.link.Close()
	}
	h.link, h.heard = conn, time.Now()
}

// hear takes what the guest says: to be shown, never to be obeyed.
func (h *Host) hear(f hostlink.Frame) {
	h.mu.Lock()
	h.heard = time.Now()
	h.mu.Unlock()
	switch f.Kind {
	case hostlink.KindPhase:
		h.mu.Lock()
		h.told++
		flood := h.told > maxTold
		h.mu.Unlock()
		if flood {
			return
		}
		h.report(phases.Report{Who: "guest", Seconds: f.Phase.Seconds, Name: word(f.Phase.Name), Text: f.Phase.Text})
	case hostlink.KindHealth:
		h.mu.Lock()
		h.health = *f.Health
		h.mu.Unlock()
		select {
		case h.news <- struct{}{}:
		default:
		}
	}
}

// word keeps a guest from writing what looks like more than one word.
func word(s string) string {
	return strings.Join(strings.FieldsFunc(s, func(r rune) bool { return r <= ' ' || r == 0x7f }), "-")
}

func (h *Host) stopGuest(reason string) {
	h.mu.Lock()
	link := h.link
	h.mu.Unlock()
	err := errors.New("it is not connected")
	if link != nil {
		err = link.Send(hostlink.Frame{Kind: hostlink.KindShutdown, Shutdown: &hostlink.Shutdown{Reason: reason}})
	}
	if err != nil {
		h.log.Say("cannot ask the guest to stop: %v", err)
	}
}
