// Command replica is one node of an Internet Computer network:
//
//	replica --dev --listen 127.0.0.1:4943 --state DIR
//	replica --listen ADDR --p2p ADDR --state DIR
//
// With --dev and a new directory it makes a network of its own: one node, its
// subnet the root, canisters from nothing. It prints where it listens and the
// root key. Without, the directory holds the node's keys and the registry of its
// network (replica/cmd/network makes both), which says who the other members are
// and where: --p2p is only for an address that others see otherwise. It serves the
// HTTP interface, /metrics and, to browsers, canisters at
// http://<canister-id>.localhost:4943/ (or where --gateway says), and stops at SIGINT or
// SIGTERM with everything saved. Started again on the same directory it goes on
// where it was, also after kill -9 or a power cut. It ends by itself with status 3 when it
// is no member any more, 4 when another version goes on, 5 when the subnet is halted. A database that is damaged is
// reported, with the file; --resync sets it aside and lets the other nodes bring the state.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"time"

	"ashlar/replica/api"
	"ashlar/replica/node"
)

// Version is set by the build.
var Version = "dev"

type flags struct {
	listen, p2p, state, rootKeyOut, apart, gateway, domains string
	dev, resync, strict                                     bool
}

func main() {
	f, err := parse(os.Args[1:], os.Stderr)
	if err != nil {
		os.Exit(2)
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	err = live(ctx, f, os.Stdout)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "replica:", err)
		os.Exit(status(err))
	}
}

// The exit status of ends that are none of the node's faults, for who starts it: it
// left its subnet, another version goes on, or the subnet is halted.
const (
	statusLeft    = 3
	statusUpgrade = 4
	statusHalt    = 5
)

func status(err error) int {
	var left *node.Left
	var upgrade *node.Upgrade
	var halt *node.Halt
	switch {
	case errors.As(err, &left):
		return statusLeft
	case errors.As(err, &upgrade):
		return statusUpgrade
	case errors.As(err, &halt):
		return statusHalt
	}
	return 1
}

func parse(args []string, out io.Writer) (f flags, err error) {
	set := flag.NewFlagSet("replica", flag.ContinueOnError)
	set.SetOutput(out)
	set.StringVar(&f.listen, "listen", "127.0.0.1:4943", "address of the HTTP interface; port 0 takes a free one")
	set.StringVar(&f.p2p, "p2p", "", "address where peers reach this node, if not the one that the registry names")
	set.StringVar(&f.state, "state", "", "directory of keys, blocks and state; made if it does not exist")
	set.BoolVar(&f.dev, "dev", false, "a network of its own for canister developers: may be made new, canisters from nothing")
	set.BoolVar(&f.resync, "resync", false, "once, for a damaged database: set the state aside and fetch it from the other nodes; keys and registry stay")
	set.BoolVar(&f.strict, "strict-version", false, "with --dev: end, as without, where the registry names another version of the replica")
	set.StringVar(&f.gateway, "gateway", "", "address at which browsers open canisters; with --dev and none it is that of --listen")
	set.StringVar(&f.domains, "domain", "localhost", "domains below which browsers find canisters, separated by commas")
	set.StringVar(&f.apart, "apart", "", "file with names of members to keep apart from, one a line; obeyed as it changes: partitions of a testnet")
	set.StringVar(&f.rootKeyOut, "root-key-out", "", "file to write the root key to, as DER in hex")
	if err := set.Parse(args); err != nil {
		return f, err
	}
	switch {
	case set.NArg() > 0:
		err = fmt.Errorf("unexpected argument %q", set.Arg(0))
	case f.state == "":
		err = errors.New("no directory for the state: add --state DIR")
	}
	if err != nil {
		fmt.Fprintln(out, "replica:", err)
	}
	return f, err
}

// live runs the node, and again where the registry named another beginning for it.
func live(ctx context.Context, f flags, out io.Writer) error {
	for {
		err := run(ctx, f, out)
		var renewed *node.Renewed
		if !errors.As(err, &renewed) || ctx.Err() != nil {
			return err
		}
		fmt.Fprintln(out, "replica:", err)
		f.resync = false
	}
}

// run is the life of a node: listen first, so that a busy port leaves no trace.
func run(ctx context.Context, f flags, out io.Writer) error {
	began := time.Now()
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	go collect(ctx)
	log := func(format string, args ...any) {
		fmt.Fprintf(out, "%s %s\n", time.Now().UTC().Format("2006-01-02T15:04:05.000Z"), fmt.Sprintf(format, args...))
	}
	at, err := openDoors(f)
	if err != nil {
		return err
	}
	defer at.close()
	if f.resync {
		if err := resync(f, log); err != nil {
			return err
		}
	}
	r, err := open(f, log)
	if err != nil {
		return err
	}

	m := newMetrics(r.node, r.peers)
	server := api.New(backend{r.node}, api.Config{Limits: api.Limits{IngressBytes: r.callBytes}, Keys: r.userKeys, Version: Version, Metrics: m, Observe: m.observe, More: r.registryHandlers()})
	front, err := browsers(backend{r.node}, server, f.domains, log)
	if err != nil {
		return errors.Join(err, r.shut(log))
	}
	ends := make(chan error, 5)
	running := 3
	go func() { ends <- r.node.Run(ctx) }()
	go func() { r.follow(ctx, f.state, log); ends <- nil }()
	go func() { ends <- r.watch(ctx, log) }()
	if r.peers != nil {
		go r.gate(ctx, r.node.Since, log)
		if f.apart != "" {
			go r.keepApart(ctx, f.apart, log)
		}
	}
	if err = r.announce(f, log); err == nil {
		serve := func() { running += at.serve(ctx, f, server, front, ends) }
		var ended int
		ended, err = r.tend(ctx, serve, ends, func() { r.welcome(f, at, began, log) }, log)
		running -= ended
	}
	stop()
	return errors.Join(err, drain(ends, running), r.shut(log))
}

// serveLate: a node that is not healthy by then has no users, but who changes the
// registry must reach it, since that may be what it needs.
const serveLate = 5 * time.Second

// tend serves, from the first certified state on or late, and waits for the end: of
// ctx, or of one of those who tell ends.
func (r *replica) tend(ctx context.Context, serve func(), ends <-chan error, welcome func(), log func(string, ...any)) (ended int, err error) {
	ready, late := r.node.Ready(), time.After(serveLate)
	serve = sync.OnceFunc(serve)
	for {
		select {
		case <-ready:
			ready = nil
			serve()
			welcome()
		case <-late:
			if ready != nil {
				log("there is no certified state yet: %s", r.node.Healthy())
			}
			serve()
		case <-ctx.Done():
			log("stopping")
			return 0, nil
		case err := <-ends:
			return 1, err
		}
	}
}

// drain waits for what still runs.
func drain(ends <-chan error, running int) (err error) {
	late := time.After(stopTimeout)
	for range running {
		select {
		case e := <-ends:
			err = errors.Join(err, e)
		case <-late:
			return errors.Join(err, errors.New("the node does not stop; its state is safe"))
		}
	}
	return err
}

// stopTimeout is for the round in progress: the longest takes some seconds.
const stopTimeout = 30 * time.Second

func listen(addr, flag string) (net.Listener, error) {
	l, err := net.Listen("tcp", addr)
	if errors.Is(err, syscall.EADDRINUSE) {
		return nil, fmt.Errorf("%s is in use by another program\n  see which:           ss -ltnp 'sport = :%s'\n  or choose another:   %s %s", addr, port(addr), flag, other(addr))
	}
	if err != nil {
		return nil, fmt.Errorf("cannot listen on %s: %w\n  give an address of this machine and a port, such as %s 127.0.0.1:4943", addr, err, flag)
	}
	return l, nil
}

func port(addr string) string {
	_, p, _ := net.SplitHostPort(addr)
	return p
}

func other(addr string) string {
	host, _, _ := net.SplitHostPort(addr)
	return net.JoinHostPort(host, "0")
}
