// Package boot is the first process of the guest, after the init: its ordered
// phases, then its services, until the host says shutdown.
//
//	devices ─> hostlink ─> network ─> data ─> replica ─> healthy
//	             └ the config comes from here
//
// Phases are told to the host over hostlink, which repeats them on its console;
// only a failure is written to the guest's own, because each byte there costs.
// A phase that fails ends the guest: the host sees QEMU go and starts it again.
// A replica that crashes is restarted here, and counted.
package boot

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"strings"
	"sync"
	"time"

	"ashlar/guestos/hostlink"
	"ashlar/hardware/block"
	"ashlar/hardware/kmod"
	"ashlar/hardware/nic"
	"ashlar/internal/cmdline"
	"ashlar/internal/journal"
	"ashlar/internal/phases"
	"ashlar/internal/supervise"

	"golang.org/x/sys/unix"
)

const (
	journalBytes  = 1 << 20
	dialDeadline  = 60 * time.Second // the host listens before it starts us
	redialPause   = time.Second
	deviceWait    = 20 * time.Second // virtio devices are there at once, or never
	stopTimeout   = 60 * time.Second // the replica finishes a round and its writes
	maxEarly      = 64               // frames kept until the link is up
	reportEvery   = 10 * time.Second // health is repeated: a host that restarted wants it
	replicaBinary = "/bin/replica"
)

// modules are loaded beyond what the devices ask for by themselves.
var modules = []string{"vmw_vsock_virtio_transport", "virtio_net", "virtio_blk", "ext4", "virtio_rng"}

// Guest is the running guest.
type Guest struct {
	log   *journal.Journal
	line  cmdline.CommandLine
	conf  hostlink.Config
	state string // folder of the replica's state

	services *supervise.Group
	replica  *replica
	stop     context.CancelCauseFunc

	mu    sync.Mutex
	link  *hostlink.Conn
	early []hostlink.Frame // said before the link was up
}

// ErrShutdown is why Run ends when the host has asked for it.
var ErrShutdown = errors.New("the host asks for it")

// Run goes through the phases and serves until ctx ends or the host says so.
// Whatever way it ends, the replica is stopped and the data are synced.
func Run(ctx context.Context) error {
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	g := &Guest{log: journal.New(journalBytes, os.Stdout), stop: stop}
	g.services = supervise.New(g.log.Printf)
	g.replica = newReplica(g.log)
	g.replayInit()
	warm(replicaBinary)
	err := phases.Run(ctx, cmdline.Guest, phases.Uptime, []phases.Phase{
		{Name: "devices", Run: g.devices},
		{Name: "hostlink", Run: g.hostlink},
		{Name: "network", Run: g.network},
		{Name: "data", Run: g.data},
		{Name: "replica", Run: g.start},
	}, g.report)
	if err == nil {
		g.services.Start(ctx, "health", g.health)
		<-ctx.Done()
		err = context.Cause(ctx)
	}
	stop(err)
	g.services.Wait()
	return errors.Join(err, g.unmount())
}

// warm asks the kernel to read a program while the phases before it wait for
// devices. It is a hint: what fails here fails again, and is told, at the start.
func warm(program string) {
	f, err := os.Open(program)
	if err != nil {
		return
	}
	defer f.Close()
	_ = unix.Fadvise(int(f.Fd()), 0, 0, unix.FADV_WILLNEED)
}

// replayInit tells what the init did, as phases of the guest.
func (g *Guest) replayInit() {
	b, err := os.ReadFile(phases.File)
	if err != nil {
		return
	}
	for line := range strings.Lines(string(b)) {
		if r, ok := phases.Parse(line); ok {
			r.Who, r.Name = cmdline.Guest, "init-"+r.Name
			g.report(r)
		}
	}
}

// report tells a phase: to the journal, to the host, and if it failed to the console.
func (g *Guest) report(r phases.Report) {
	if r.Failed() {
		g.log.Say("%s", r.Line())
	} else {
		g.log.Printf("%s", r.Line())
	}
	g.send(hostlink.Frame{Kind: hostlink.KindPhase, Phase: &hostlink.Phase{Name: r.Name, Seconds: r.Seconds, Text: r.Text}})
}

// send gives a frame to the host, or keeps it until there is a link.
func (g *Guest) send(f hostlink.Frame) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.link == nil {
		if len(g.early) < maxEarly {
			g.early = append(g.early, f)
		}
		return
	}
	if err := g.link.Send(f); err != nil {
		g.log.Printf("%v", err)
		g.link.Close() // its reader sees this and dials again
	}
}

func (g *Guest) devices(context.Context) (string, error) {
	b, err := os.ReadFile("/proc/cmdline")
	if err != nil {
		return "", err
	}
	if g.line, err = cmdline.Parse(string(b)); err != nil {
		return "", err
	}
	tree, err := kmod.Open("/lib/modules")
	if err != nil {
		return "all drivers came with the init", nil
	}
	loaded, err := tree.Coldplug(block.Sys())
	if err != nil {
		g.log.Printf("devices: %v", err)
	}
	for _, m := range modules {
		if err := tree.Load(m); err != nil && !kmod.Missing(err) {
			return "", err
		}
	}
	return fmt.Sprintf("%d drivers", len(loaded)), nil
}

// hostlink dials the host, which has our configuration, and keeps the link.
func (g *Guest) hostlink(ctx context.Context) (string, error) {
	first, cancel := context.WithTimeout(ctx, dialDeadline)
	defer cancel()
	conn, err := g.dial(first)
	if err != nil {
		return "", err
	}
	g.services.Start(ctx, "hostlink", func(ctx context.Context) error {
		defer func() { conn = nil }()
		if conn == nil {
			if conn, err = g.dial(ctx); err != nil {
				return err
			}
		}
		return conn.Serve(ctx, g.handle)
	})
	return fmt.Sprintf("node %s, network %s", g.conf.Node, g.conf.Network), nil
}

// dial connects and greets. A configuration that differs from the first is not
// taken up: the host restarts the guest to change it.
func (g *Guest) dial(ctx context.Context) (*hostlink.Conn, error) {
	for {
		link, conf, err := greet(g.line.Version)
		if err == nil {
			if g.conf.Network == "" {
				g.conf = conf
			}
			g.linked(link)
			return link, nil
		}
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("no answer from the host: %w", err)
		case <-time.After(redialPause):
		}
	}
}

func greet(release string) (*hostlink.Conn, hostlink.Config, error) {
	raw, err := hostlink.Dial()
	if err != nil {
		return nil, hostlink.Config{}, err
	}
	link, conf, err := hostlink.Greet(raw, release)
	if err != nil {
		raw.Close()
	}
	return link, conf, err
}

// linked makes link the one that send uses, and sends what waited for it.
func (g *Guest) linked(link *hostlink.Conn) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.link = link
	for _, f := range g.early {
		if err := link.Send(f); err != nil {
			g.log.Printf("%v", err)
			return
		}
	}
	g.early = nil
}

func (g *Guest) handle(f hostlink.Frame) {
	if f.Kind == hostlink.KindShutdown {
		g.log.Printf("shutdown: %s", f.Shutdown.Reason)
		g.stop(ErrShutdown)
	}
}

func (g *Guest) network(ctx context.Context) (string, error) {
	if err := nic.Up("lo"); err != nil {
		return "", err
	}
	wait, cancel := context.WithTimeout(ctx, deviceWait)
	defer cancel()
	var dev string
	err := block.Wait(wait, func() (bool, error) {
		names, err := nic.Wired(block.Sys())
		if len(names) > 0 {
			dev = names[0]
		}
		return dev != "", err
	})
	if err != nil {
		return "", errors.New("no network device")
	}
	if err := nic.Configure(dev, addressing(g.conf)); err != nil {
		return "", err
	}
	return fmt.Sprintf("%s %s", dev, strings.Join(nic.Addresses(dev), " ")), nil
}

// addressing takes the addresses out of a checked configuration.
func addressing(c hostlink.Config) nic.Addressing {
	a := nic.Addressing{RA: c.IPv6.RA}
	a.IPv4, _ = netip.ParsePrefix(c.IPv4.Prefix)
	a.Gateway4, _ = netip.ParseAddr(c.IPv4.Gateway)
	a.IPv6, _ = netip.ParsePrefix(c.IPv6.Prefix)
	a.Gateway6, _ = netip.ParseAddr(c.IPv6.Gateway)
	return a
}

func (g *Guest) start(ctx context.Context) (string, error) {
	if _, err := os.Stat(replicaBinary); errors.Is(err, fs.ErrNotExist) {
		return "", fmt.Errorf("%s is not in the image", replicaBinary)
	}
	args := []string{"--listen", g.conf.Listen, "--state", g.state}
	if g.conf.Network == "dev" {
		args = append(args, "--dev")
	}
	if g.conf.LogLevel == "debug" {
		args = append(args, "--log", "debug")
	}
	g.services.Start(ctx, "replica", func(ctx context.Context) error { return g.replica.run(ctx, replicaBinary, args) })
	return "started", nil
}

// statusURL is the replica's own account of itself, on loopback.
func (g *Guest) statusURL() string {
	_, port, _ := net.SplitHostPort(g.conf.Listen)
	return "http://127.0.0.1:" + port + "/api/v2/status"
}
