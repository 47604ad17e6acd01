// Package boot is the first process of the host, after the init: its ordered
// phases, then its services, until someone asks for a restart or a shutdown.
//
//	devices ─> slots ─> config ─> clock ─> tpm ─> network ─> api ─> image ─> guest ─> ready
//	                    │                  └ PCR 12 = config        └ PCR 13  │        └ health gate:
//	                    node.conf                                     guest   QEMU       a trial is confirmed here
//
// A phase that fails, or hangs, on a release that is on trial sends the machine
// back to the confirmed one; the record comes early, so that it can say why. On
// the confirmed release there is nothing to go back to: the machine stays up
// with what works, above all its API, so that it can be mended over the network,
// and says on the console what is wrong.
package boot

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"time"

	"ashlar/guestos/hostlink"
	"ashlar/hostos/config"
	"ashlar/hostos/upgrade"
	"ashlar/hostos/vm"
	"ashlar/image/slots"
	"ashlar/internal/cmdline"
	"ashlar/internal/journal"
	"ashlar/internal/phases"
	"ashlar/internal/supervise"
)

const (
	journalBytes = 4 << 20 // a day of ordinary lines
	maxPhases    = 200     // kept for status: the boot's, and those of some restarted guests
	maxTold      = 100     // phases that one life of the guest may put on our console, which is slow

	bootLimit = 10 * time.Minute // of a trial, up to the health gate, which has its own: emulation on a loaded machine needs two
	failLimit = 30 * time.Second // to write why a trial failed: a disk that hangs must not keep it running
	stopLimit = 3 * time.Minute  // for all services: the guest has stopGuest, the rest seconds
)

// An Outcome is how Run ended: what the machine is to do.
type Outcome string

// The outcomes.
const (
	Restart  Outcome = "restart"
	PowerOff Outcome = "power off"
)

// order ends Run by cancelling its context.
type order struct {
	do  Outcome
	why string
}

func (o order) Error() string { return o.why }

// Host is the running host.
type Host struct {
	log      *journal.Journal
	line     cmdline.CommandLine
	slot     slots.Slot
	disk     string
	trial    bool // the init says that this release has not proved itself
	conf     *config.Config
	upgrade  *upgrade.Upgrader
	tpm      tpmState
	runner   *vm.Runner
	kvm      string
	services *supervise.Group
	end      context.CancelCauseFunc
	ahead    chan prefetched
	gated    chan struct{} // closed when the health gate is reached

	mu      sync.Mutex
	phases  []phases.Report
	notes   []string
	link    *hostlink.Conn
	health  hostlink.Health
	heard   time.Time // when the guest last said anything
	told    int       // phases that this life of the guest has told
	readyAt time.Duration
	news    chan struct{} // a health frame came
}

// Run goes through the phases and serves until someone ends it. By then the
// guest has stopped and the data are synced.
func Run(ctx context.Context) Outcome {
	ctx, end := context.WithCancelCause(ctx)
	defer end(nil)
	h := &Host{
		log: journal.New(journalBytes, os.Stdout), end: end, news: make(chan struct{}, 1),
		slot: slots.Slot(os.Getenv("ASHLAR_SLOT")), disk: os.Getenv("ASHLAR_DISK"), trial: os.Getenv("ASHLAR_TRIAL") != "", gated: make(chan struct{}),
	}
	h.services = supervise.New(func(format string, args ...any) { h.log.Say(format, args...) })
	h.replayInit()
	h.prefetch(ctx)
	h.services.Start(ctx, "watchdog", h.watchdog)
	h.services.Start(ctx, "power", h.power)
	over := make(chan struct{})
	go func() {
		defer close(over)
		if err := phases.Run(ctx, cmdline.Host, phases.Uptime, h.all(), h.report); err != nil && ctx.Err() == nil {
			h.broken(err)
		}
	}()
	if h.trial {
		go h.impatience(ctx, bootLimit)
	}
	<-ctx.Done() // and not the end of the phases: one may hang
	if !within(stopLimit, func() { <-over; h.services.Wait() }) {
		h.log.Say("something does not stop within %v: going on without it", stopLimit)
	}
	return h.outcome(context.Cause(ctx))
}

// impatience gives a trial up that does not reach its health gate: a phase hangs.
func (h *Host) impatience(ctx context.Context, limit time.Duration) {
	select {
	case <-ctx.Done():
	case <-h.gated:
	case <-time.After(limit):
		h.fallBack(fmt.Sprintf("its boot did not come to an end within %v", limit))
	}
}

// within says whether do ended in time; if not, it goes on alone.
func within(limit time.Duration, do func()) bool {
	done := make(chan struct{})
	go func() {
		defer close(done)
		do()
	}()
	select {
	case <-done:
		return true
	case <-time.After(limit):
		return false
	}
}

func (h *Host) all() []phases.Phase {
	return []phases.Phase{
		{Name: "devices", Run: h.devices},
		{Name: "slots", Run: h.slots},
		{Name: "config", Run: h.config},
		{Name: "clock", Run: h.clock},
		{Name: "tpm", Run: h.openTPM},
		{Name: "network", Run: h.network},
		{Name: "api", Run: h.api},
		{Name: "image", Run: h.image},
		{Name: "guest", Run: h.guest},
		{Name: "ready", Run: h.ready},
	}
}

// broken decides what follows from a phase that failed.
func (h *Host) broken(err error) {
	if u := h.upgrader(); h.trial && (u == nil || u.OnTrial()) {
		h.fallBack(err.Error())
		return
	}
	h.note("this boot is not complete: " + err.Error())
	h.log.Say("the node stays up without what is missing; mend it and restart")
}

// fallBack gives the release on trial up. Without a record to write the reason
// to, or a disk that takes it, the restart does it alone: a trial that restarts
// before it is confirmed has failed.
func (h *Host) fallBack(why string) {
	h.log.Say("release %s is given up: %s", h.line.Version, why)
	if u := h.upgrader(); u != nil {
		within(failLimit, func() {
			if err := u.Fail(why); err != nil {
				h.log.Say("slots: %v", err)
			}
		})
	}
	h.end(order{Restart, "back to the confirmed release"})
}

// upgrader is nil until the phase "slots" is over.
func (h *Host) upgrader() *upgrade.Upgrader {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.upgrade
}

func (h *Host) outcome(cause error) Outcome {
	var o order
	if !errors.As(cause, &o) {
		o = order{PowerOff, fmt.Sprint(cause)}
	}
	h.log.Say("%s", phases.Report{Who: cmdline.Host, Seconds: phases.Uptime().Seconds(), Name: "end", Text: string(o.do) + ": " + o.why}.Line())
	return o.do
}

// Restart and Shutdown are orders of the API.
func (h *Host) Restart(why string) { h.end(order{Restart, why}) }

// Shutdown powers the machine off.
func (h *Host) Shutdown(why string) { h.end(order{PowerOff, why}) }

// replayInit takes over what the init did; it is on the console already.
func (h *Host) replayInit() {
	b, err := os.ReadFile(phases.File)
	if err != nil {
		return
	}
	for line := range strings.Lines(string(b)) {
		if r, ok := phases.Parse(line); ok {
			h.keep(r)
		}
	}
}

// report shows a phase and keeps it for status.
func (h *Host) report(r phases.Report) {
	h.log.Say("%s", r.Line())
	h.keep(r)
}

func (h *Host) keep(r phases.Report) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.phases) < maxPhases {
		h.phases = append(h.phases, r)
	}
}

// note adds what a person should know to the status.
func (h *Host) note(text string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, n := range h.notes {
		if n == text {
			return
		}
	}
	if len(h.notes) < 20 {
		h.notes = append(h.notes, text)
	}
}
