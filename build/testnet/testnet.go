// Package testnet runs a network of real replicas on this machine: a process, an
// address and a directory each.
//
//	Open ── network new ──> DIR/1 ... DIR/N ── Start ──> replica, replica, ... ── Close: all saved
//	                                             │
//	            Kill 2, Start 2, Wipe 2, Partition 1 2, Heal, Status
//	                                             │
//	Listen, Serve ── DIR/control (a socket) <── Tell: make testnet's commands, from another terminal
//
// A partition cuts nodes off from the others, users still reach them. With Netem
// (as root) each node lives in a network namespace of its own, behind a link with
// latency and loss: see netem.go. A network goes on where it was when its
// directory is opened again.
package testnet

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Limits of a network on one machine.
const (
	maxNodes   = 40
	startLimit = 60 * time.Second // until all nodes are healthy: a loaded machine takes some seconds
	stopLimit  = 40 * time.Second // the replica's own limit, and some
)

// DefaultPort is where users reach each node, and peers at the next one.
const DefaultPort = 4943

// Options of a network.
type Options struct {
	Bin    string     // directory of the programs replica and network
	Dir    string     // of the network
	Nodes  int        // 0: as many as Dir has, or 1
	First  netip.Addr // of node 1, the next node has the next one; zero: 127.0.0.1
	Port   int        // 0: DefaultPort
	Rounds uint64     // from one summary to the next, of a network that is made new; 0: the usual
	Netem  string     // what tc netem is told of each node's link, such as "delay 60ms loss 1%"; "": no namespaces
	Say    func(format string, args ...any)
}

// Net is a network, running or not.
type Net struct {
	Options
	Nodes   []*Node
	RootKey string // DER in hex

	mu      sync.Mutex // of what the commands change
	apart   [][]int    // groups that a partition made
	version string     // that was elected last; "": none in this run
	links   *links     // nil: no namespaces
}

// Open makes the network in its directory, or finds the one that is there.
func Open(o Options) (*Net, error) {
	if o.Say == nil {
		o.Say = func(string, ...any) {}
	}
	if o.Port == 0 {
		o.Port = DefaultPort
	}
	if !o.First.IsValid() {
		o.First = netip.MustParseAddr("127.0.0.1")
	}
	if o.Netem != "" {
		o.First = firstBehindLink
	}
	n := &Net{Options: o}
	made, err := os.ReadFile(n.file())
	if errors.Is(err, os.ErrNotExist) {
		if made, err = n.create(); err != nil {
			return nil, err
		}
	} else if err != nil {
		return nil, err
	}
	return n, n.read(string(made))
}

// file says what the network consists of: what network new printed.
func (n *Net) file() string { return filepath.Join(n.Dir, "network") }

func (n *Net) create() ([]byte, error) {
	count := max(n.Options.Nodes, 1)
	if count > maxNodes {
		return nil, fmt.Errorf("a network of %d nodes: one machine runs at most %d", count, maxNodes)
	}
	if _, err := os.Stat(filepath.Join(n.Dir, "keys")); err == nil {
		return nil, fmt.Errorf("%s holds a network of an older release, of one node\n  remove it to make a new one: rm -r %s", n.Dir, n.Dir)
	}
	var at []string
	for a := n.First; len(at) < count; a = a.Next() {
		at = append(at, a.String())
	}
	args := []string{"new", "--dir", n.Dir, "--at", strings.Join(at, ","), "--http", strconv.Itoa(n.Port), "--p2p", strconv.Itoa(n.Port + 1)}
	if n.Rounds != 0 {
		args = append(args, "--interval", strconv.FormatUint(n.Rounds, 10))
	}
	made, err := n.network(args...)
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(versionsIn(n.Dir), 0o755); err != nil {
		return nil, err
	}
	return []byte(made), os.WriteFile(n.file(), []byte(made), 0o644)
}

// read what network new printed: "root key HEX", and of each node "node N NAME ADDRESS:PORT".
func (n *Net) read(made string) error {
	for line := range strings.Lines(made) {
		f := strings.Fields(line)
		switch {
		case len(f) == 3 && f[0] == "root":
			n.RootKey = f[2]
		case len(f) == 4 && f[0] == "node":
			at, err := netip.ParseAddrPort(f[3])
			if err != nil {
				return fmt.Errorf("%s: %w", n.file(), err)
			}
			i, err := strconv.Atoi(f[1])
			if err != nil {
				return fmt.Errorf("%s: %w", n.file(), err)
			}
			n.Nodes = append(n.Nodes, &Node{net: n, Number: i, Name: f[2], URL: "http://" + at.String(), at: at,
				Dir: filepath.Join(n.Dir, strconv.Itoa(i)), Log: filepath.Join(n.Dir, fmt.Sprintf("%d.log", i))})
		}
	}
	slices.SortFunc(n.Nodes, func(a, b *Node) int { return a.Number - b.Number })
	if n.RootKey == "" || len(n.Nodes) == 0 {
		return fmt.Errorf("%s does not name a network\n  remove it to make a new one: rm -r %s", n.file(), n.Dir)
	}
	if want := n.Options.Nodes; want != 0 && want != len(n.Nodes) {
		return fmt.Errorf("%s holds a network of %d nodes, not of %d\n  go on with it:        N=%d\n  or make another one:  rm -r %s", n.Dir, len(n.Nodes), want, len(n.Nodes), n.Dir)
	}
	if behind := linkNet.Contains(n.Nodes[0].at.Addr()); behind != (n.Netem != "") {
		return fmt.Errorf("%s holds a network whose nodes are at %s ...: it was made %s NETEM\n  start it that way, or make another one: rm -r %s", n.Dir, n.Nodes[0].at.Addr(), with(behind), n.Dir)
	}
	if p := int(n.Nodes[0].at.Port()); p != n.Port {
		return fmt.Errorf("%s holds a network whose nodes are at port %d, not %d\n  go on with it:        PORT=%d\n  or make another one:  rm -r %s", n.Dir, p, n.Port, p, n.Dir)
	}
	return nil
}

func with(netem bool) string {
	if netem {
		return "with"
	}
	return "without"
}

// Start all nodes, and wait until each is healthy.
func (n *Net) Start(ctx context.Context) error {
	if n.Netem != "" {
		var err error
		if n.links, err = layLinks(len(n.Nodes), n.Netem, n.Say); err != nil {
			return err
		}
	}
	for _, node := range n.Nodes {
		if err := node.Start(); err != nil {
			return errors.Join(err, n.Close())
		}
	}
	ctx, cancel := context.WithTimeout(ctx, startLimit)
	defer cancel()
	for _, node := range n.Nodes {
		if err := node.Await(ctx); err != nil {
			return errors.Join(err, n.Close())
		}
	}
	return nil
}

// Add a node: it makes its keys, the network's authority signs that it is to be a
// member, and it starts.
func (n *Net) Add() (*Node, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.links != nil {
		return nil, errors.New("nodes behind links of their own are as many as at the start: no node can be added with NETEM")
	}
	last := n.Nodes[len(n.Nodes)-1]
	i := last.Number + 1
	if i > maxNodes {
		return nil, fmt.Errorf("one machine runs at most %d nodes", maxNodes)
	}
	at := netip.AddrPortFrom(last.at.Addr().Next(), last.at.Port())
	d := &Node{net: n, Number: i, URL: "http://" + at.String(), at: at, Dir: filepath.Join(n.Dir, strconv.Itoa(i)), Log: filepath.Join(n.Dir, fmt.Sprintf("%d.log", i))}
	said, err := n.network("key", "--dir", d.Dir, "--at", at.Addr().String(), "--http", strconv.Itoa(n.Port), "--p2p", strconv.Itoa(n.Port+1))
	if err != nil {
		return nil, err
	}
	for line := range strings.Lines(said) {
		if f := strings.Fields(line); len(f) == 2 && f[0] == "node" {
			d.Name = f[1]
		}
	}
	if _, err := n.network("add", filepath.Join(d.Dir, "node.record"), "--dir", n.Dir, "--offline"); err != nil {
		return nil, err
	}
	if _, err := n.network("give", d.Dir, "--dir", n.Dir); err != nil {
		return nil, err
	}
	if err := n.note(d); err != nil {
		return nil, err
	}
	if err := n.send(); err != nil {
		return nil, err
	}
	n.Nodes = append(n.Nodes, d)
	return d, d.Start()
}

// AddAgain makes nodes members that were, or are still for the moment, and starts them.
func (n *Net) AddAgain(nodes ...*Node) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, d := range nodes {
		if _, err := n.network("add", filepath.Join(d.Dir, "node.record"), "--dir", n.Dir, "--offline"); err != nil {
			return err
		}
	}
	if err := n.send(); err != nil {
		return err
	}
	for _, d := range nodes {
		if err := d.Start(); err != nil {
			return err
		}
	}
	return nil
}

// note a node for the next time that the network is opened.
func (n *Net) note(d *Node) error {
	f, err := os.OpenFile(n.file(), os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(f, "node %d %s %s\n", d.Number, d.Name, d.at)
	return errors.Join(err, f.Close())
}

// Remove nodes from the members. They go on until the others go on without them.
func (n *Net) Remove(nodes ...*Node) (said string, err error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, d := range nodes {
		one, err := n.network("remove", d.Name, "--dir", n.Dir, "--offline")
		said += one
		if err != nil {
			return said, err
		}
	}
	return said, n.send()
}

// Recover the subnet from the newest state that a node has. Nodes that run begin again
// with it by themselves.
func (n *Net) Recover() (said string, err error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if said, err = n.network("recover", "--dir", n.Dir, "--offline"); err != nil {
		return said, err
	}
	return said, n.send()
}

// send changes to all nodes that run; others take them from these when they are back.
func (n *Net) send() error {
	args := []string{"send", "--dir", n.Dir}
	for _, d := range n.Nodes {
		if d.PID() != 0 {
			args = append(args, d.URL)
		}
	}
	_, err := n.network(args...)
	return err
}

// network runs the program that makes and changes networks.
func (n *Net) network(args ...string) (string, error) {
	cmd := exec.Command(filepath.Join(n.Bin, "network"), args...)
	var out, problems bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &problems
	if err := cmd.Run(); err != nil {
		return out.String(), fmt.Errorf("network %s: %w\n%s", args[0], err, problems.String())
	}
	return out.String(), nil
}

// Node by its number, from 1.
func (n *Net) Node(number int) (*Node, error) {
	if number < 1 || number > len(n.Nodes) {
		return nil, fmt.Errorf("there is no node %d: they are 1 to %d", number, len(n.Nodes))
	}
	return n.Nodes[number-1], nil
}

// Partition keeps the nodes named from all others, besides what is apart already.
func (n *Net) Partition(numbers ...int) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, i := range numbers {
		if _, err := n.Node(i); err != nil {
			return err
		}
	}
	n.apart = append(n.apart, numbers)
	return n.tellApart()
}

// Heal all partitions.
func (n *Net) Heal() error {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.apart = nil
	return n.tellApart()
}

// tellApart tells each node from whom it is apart.
func (n *Net) tellApart() (err error) {
	for _, a := range n.Nodes {
		var names []byte
		for _, b := range n.Nodes {
			if n.parted(a.Number, b.Number) {
				names = append(names, b.Name+"\n"...)
			}
		}
		err = errors.Join(err, os.WriteFile(a.apart(), names, 0o644))
	}
	return err
}

func (n *Net) parted(a, b int) bool {
	for _, group := range n.apart {
		in := func(x int) bool {
			for _, g := range group {
				if g == x {
					return true
				}
			}
			return false
		}
		if in(a) != in(b) {
			return true
		}
	}
	return false
}

// Close stops all nodes; everything is saved.
func (n *Net) Close() error {
	var all sync.WaitGroup
	errs := make([]error, len(n.Nodes))
	for i, node := range n.Nodes {
		all.Go(func() { errs[i] = node.Stop() })
	}
	all.Wait()
	if n.links != nil {
		n.links.remove()
	}
	return errors.Join(errs...)
}
