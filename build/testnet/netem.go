package testnet

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"strings"
)

// Where nodes live that have a network namespace each.
//
//	bridge ashlar-tn 10.77.0.254 ── ashlar-tnI ═ veth ═ eth0 10.77.0.I in namespace ashlar-tn-I, tc netem
//
// netem delays and loses what leaves a node, so a round trip between two takes
// twice its delay; users, who come over the bridge, wait once.
const bridge = "ashlar-tn"

var (
	linkNet         = netip.MustParsePrefix("10.77.0.0/24")
	firstBehindLink = netip.MustParseAddr("10.77.0.1")
	bridgeAddr      = netip.MustParseAddr("10.77.0.254")
)

// links are what was laid, to be removed.
type links struct{ nodes int }

func namespace(i int) string { return fmt.Sprintf("%s-%d", bridge, i) }

// layLinks makes the namespaces and their links. What an earlier run left, because
// it was killed, is removed first.
func layLinks(nodes int, netem string, say func(string, ...any)) (*links, error) {
	if os.Geteuid() != 0 {
		return nil, errors.New("network namespaces need root\n  run as root, or leave NETEM out: the nodes then share this machine's network, without delay")
	}
	if _, err := exec.LookPath("tc"); err != nil {
		return nil, errors.New("NETEM needs ip and tc\n  apt-get install iproute2")
	}
	l := &links{nodes}
	l.remove()
	if err := l.lay(strings.Fields(netem), say); err != nil {
		l.remove()
		return nil, err
	}
	return l, nil
}

func (l *links) lay(netem []string, say func(string, ...any)) error {
	if err := ip("link", "add", bridge, "type", "bridge"); err != nil {
		return fmt.Errorf("this kernel does not let us make a network: %w\n  leave NETEM out: the nodes then share this machine's network, without delay", err)
	}
	if err := errors.Join(ip("addr", "add", netip.PrefixFrom(bridgeAddr, linkNet.Bits()).String(), "dev", bridge), ip("link", "set", bridge, "up")); err != nil {
		return err
	}
	at := firstBehindLink
	for i := 1; i <= l.nodes; i, at = i+1, at.Next() {
		ns, outer := namespace(i), fmt.Sprintf("%s%d", bridge, i)
		for _, args := range [][]string{
			{"netns", "add", ns},
			{"link", "add", outer, "type", "veth", "peer", "name", "eth0", "netns", ns},
			{"link", "set", outer, "master", bridge, "up"},
			{"-n", ns, "addr", "add", netip.PrefixFrom(at, linkNet.Bits()).String(), "dev", "eth0"},
			{"-n", ns, "link", "set", "eth0", "up"},
			{"-n", ns, "link", "set", "lo", "up"},
		} {
			if err := ip(args...); err != nil {
				return err
			}
		}
		err := run(append(l.inside(i, []string{"tc", "qdisc", "add", "dev", "eth0", "root", "netem"}), netem...))
		switch {
		case err != nil && strings.Contains(err.Error(), "qdisc kind is unknown"):
			if i == 1 {
				say("  this kernel has no netem (module sch_netem): the nodes have a namespace and a link each, without delay and loss")
			}
		case err != nil:
			return fmt.Errorf("NETEM=%q: %w\n  see man tc-netem, such as NETEM=\"delay 60ms loss 1%%\"", strings.Join(netem, " "), err)
		}
	}
	return nil
}

// inside is a command that runs in a node's namespace. ip becomes it: signals arrive.
func (l *links) inside(i int, args []string) []string {
	return append([]string{"ip", "netns", "exec", namespace(i)}, args...)
}

// remove all; what is not there is no error.
func (l *links) remove() {
	for i := range maxNodes {
		if _, err := os.Stat("/run/netns/" + namespace(i+1)); err == nil {
			_ = ip("netns", "del", namespace(i+1)) // takes its link with it
		}
	}
	_ = ip("link", "del", bridge)
}

func ip(args ...string) error { return run(append([]string{"ip"}, args...)) }

func run(args []string) error {
	out, err := exec.Command(args[0], args[1:]...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("%s: %w: %s", strings.Join(args, " "), err, strings.TrimSpace(string(out)))
	}
	return nil
}
