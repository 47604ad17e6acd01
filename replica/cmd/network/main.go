// Command network makes networks of several nodes and changes what they are.
//
//	network new --dir DIR --nodes 4                          one machine: 127.0.0.1, 127.0.0.2, ...
//	network new --dir DIR --at 10.0.0.1,10.0.0.2,10.0.0.3    keys made here, in DIR/1, DIR/2, ...
//	network new --dir DIR --from a.record,b.record           keys made by the nodes (network key)
//	network key --dir NODE --at 10.0.0.4                     a node's own keys; NODE/node.record is handed in
//
// DIR holds the network's authority: its key, and its copy of the registry. With it:
//
//	network add RECORD --dir DIR        network remove NODE --dir DIR     network forget NODE --dir DIR
//	network version V --dir DIR         network interval N --dir DIR      network halt|resume --dir DIR
//	network give NODE-DIR --dir DIR     network send [URL ...] --dir DIR  network show --dir DIR
//	network rotate-keys --dir DIR       the members' keys for dealings are replaced by their next generation
//	network take URL --dir DIR          the registry of a node, for who has none
//	network recover --dir DIR           a subnet that lost too many nodes goes on from what the others have
//
// Each change is signed, written to DIR/changes, and sent to the members. docs/network.md
// tells more.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/netip"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"syscall"

	"ashlar/replica/ic"
	"ashlar/replica/registry"
	"ashlar/replica/registry/admin"
)

// Version is set by the build.
var Version = "dev"

// call is one command with its flags.
type call struct {
	ctx       context.Context
	args      []string
	out       io.Writer
	dir       string
	at, from  string
	nodes     int
	http, p2p uint
	interval  uint64
	version   string
	sha256    string
	url       string
	offline   bool
	loss      bool
}

// commands in the order in which they are told.
var commands = []struct {
	name  string
	args  int // how many it takes; -1: any
	usage string
	run   func(*call) error
}{
	{"new", 0, "--dir DIR (--nodes N | --at ADDRESS,... | --from RECORD,...)", (*call).found},
	{"key", 0, "--dir NODE-DIR --at ADDRESS", (*call).key},
	{"add", 1, "RECORD --dir DIR", (*call).add},
	{"remove", 1, "NODE --dir DIR", (*call).remove},
	{"forget", 1, "NODE --dir DIR", (*call).forget},
	{"version", 1, "VERSION --dir DIR [--sha256 HEX --url URL]", (*call).run},
	{"interval", 1, "ROUNDS --dir DIR", (*call).setInterval},
	{"admins", 1, "PRINCIPAL,... --dir DIR (- for none)", (*call).setAdmins},
	{"cost", 1, "free|normal --dir DIR", (*call).setCost},
	{"canisters", 1, "NUMBER --dir DIR (0: the usual)", (*call).setCanisters},
	{"halt", 0, "--dir DIR", func(c *call) error { return c.change(func(n *admin.Network) error { return n.Halt(true) }) }},
	{"resume", 0, "--dir DIR", func(c *call) error { return c.change(func(n *admin.Network) error { return n.Halt(false) }) }},
	{"rotate-keys", -1, "[URL ...] --dir DIR", (*call).rotate},
	{"recover", -1, "[URL ...] --dir DIR [--accept-loss]", (*call).recover},
	{"take", 1, "URL --dir DIR", func(c *call) error { return admin.Take(c.ctx, c.dir, c.args[0]) }},
	{"give", 1, "NODE-DIR --dir DIR", (*call).give},
	{"send", -1, "[URL ...] --dir DIR", (*call).send},
	{"show", 0, "--dir DIR", (*call).show},
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	err := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	if err != nil {
		if !errors.Is(err, flag.ErrHelp) {
			fmt.Fprintln(os.Stderr, "network:", err)
		}
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string, out, problems io.Writer) error {
	for _, k := range commands {
		if len(args) == 0 || k.name != args[0] {
			continue
		}
		c := &call{ctx: ctx, out: out}
		if err := c.parse(k.name, args[1:], problems); err != nil {
			return err
		}
		if c.dir == "" || k.args >= 0 && len(c.args) != k.args {
			return fmt.Errorf("want: network %s %s", k.name, k.usage)
		}
		return k.run(c)
	}
	var all []string
	for _, k := range commands {
		all = append(all, "  network "+k.name+" "+k.usage)
	}
	return fmt.Errorf("say what to do:\n%s", strings.Join(all, "\n"))
}

// parse takes flags before, between and after the arguments.
func (c *call) parse(name string, args []string, problems io.Writer) error {
	set := flag.NewFlagSet("network "+name, flag.ContinueOnError)
	set.SetOutput(problems)
	set.StringVar(&c.dir, "dir", "", "directory of the network, or of the node")
	set.IntVar(&c.nodes, "nodes", 0, "how many nodes, on addresses of this machine")
	set.StringVar(&c.at, "at", "", "the nodes' addresses, separated by commas")
	set.StringVar(&c.from, "from", "", "records of nodes that made their keys themselves, separated by commas")
	set.UintVar(&c.http, "http", 4943, "port where users reach each node")
	set.UintVar(&c.p2p, "p2p", 4100, "port where peers reach each node")
	set.Uint64Var(&c.interval, "interval", registry.DefaultInterval, "rounds from one summary to the next")
	set.StringVar(&c.version, "version", Version, "of the replica that the network begins with")
	set.StringVar(&c.sha256, "sha256", "", "hash of the version's package")
	set.StringVar(&c.url, "url", "", "where the version's package is, separated by commas")
	set.BoolVar(&c.offline, "offline", false, "sign the change, and send it to nobody")
	set.BoolVar(&c.loss, "accept-loss", false, "recover though too few nodes are left to have all that was certified")
	for {
		if err := set.Parse(args); err != nil {
			return err
		}
		if args = set.Args(); len(args) == 0 {
			return nil
		}
		c.args, args = append(c.args, args[0]), args[1:]
	}
}

// list splits at commas; nothing is no element.
func list(text string) []string {
	if text == "" {
		return nil
	}
	return strings.Split(text, ",")
}

func (c *call) addresses() (out []netip.Addr, err error) {
	for _, text := range list(c.at) {
		a, err := netip.ParseAddr(text)
		if err != nil {
			return nil, fmt.Errorf("--at: %w", err)
		}
		out = append(out, a)
	}
	for i := range c.nodes {
		out = append(out, netip.AddrFrom4([4]byte{127, 0, byte((i + 1) >> 8), byte(i + 1)}))
	}
	for _, p := range []uint{c.http, c.p2p} {
		if p < 1 || p > 65535 {
			return nil, fmt.Errorf("%d is not a port: they go from 1 to 65535", p)
		}
	}
	return out, nil
}

func (c *call) node() (ic.NodeID, error) {
	p, err := ic.ParsePrincipal(c.args[0])
	if err != nil {
		return ic.NodeID{}, fmt.Errorf("%w\n  their names: network show --dir %s", err, c.dir)
	}
	return ic.NodeID{Principal: p}, nil
}

func (c *call) rounds() (uint64, error) {
	n, err := strconv.ParseUint(c.args[0], 10, 64)
	if err != nil {
		return 0, fmt.Errorf("%q is not a number of rounds", c.args[0])
	}
	return n, nil
}
