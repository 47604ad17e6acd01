// Package config is the node's configuration, the file node.conf on the
// partition that any laptop can edit.
//
//	node.conf ── Parse ──> Config ── Check inside ──> Problems: line, what is wrong, what to write
//	                          ├── Render: the same file, every key said, one order
//	                          └── Digest: sha256 of that, for PCR 12
//
// The format is lines of `key = value`; `#` starts a comment. A key that is not
// known is an error, never ignored: a typing error in an address key would
// otherwise be a node that is not there. The table of keys is in keys.go.
// Who edits this file has the machine in hand; what it says is measured, not
// trusted.
package config

import (
	"crypto/ed25519"
	"crypto/sha256"
	"fmt"
	"net/netip"
	"sort"
	"strings"
	"time"
)

const (
	maxFile      = 64 << 10 // bytes: a hundred keys and their comments
	maxAdminKeys = 16
	domain       = "ashlar node.conf 1\n" // what Digest hashes first
)

// An Address is how one family of one machine is addressed.
type Address struct {
	RA     bool         // by router advertisement (IPv6)
	Prefix netip.Prefix // static; invalid: none
}

// Off says that there is no address.
func (a Address) Off() bool { return !a.RA && !a.Prefix.IsValid() }

func (a Address) String() string {
	switch {
	case a.RA:
		return "ra"
	case a.Prefix.IsValid():
		return a.Prefix.String()
	}
	return "none"
}

// Config is a checked configuration.
type Config struct {
	Name           string
	Network        string // the network the replica is part of
	NIC            string // auto, or a device's name
	IPv4           Address
	IPv4Gateway    netip.Addr
	IPv6           Address
	IPv6Gateway    netip.Addr
	GuestIPv4      Address
	GuestIPv6      Address
	AdminKeys      []ed25519.PublicKey
	GuestMemoryMiB int           // 0: all that the host does not need
	GuestCPUs      int           // 0: all
	HealthTimeout  time.Duration // a release on trial has this long to be healthy
}

// A Problem is one thing to mend.
type Problem struct {
	Line int    // 0: the file as a whole
	What string // is wrong
	Fix  string // what to write instead
}

// Problems is the error of Parse: all that is wrong, in the order of the lines.
type Problems []Problem

func (p Problems) Error() string {
	var b strings.Builder
	for i, x := range p {
		if i > 0 {
			b.WriteByte('\n')
		}
		if x.Line > 0 {
			fmt.Fprintf(&b, "line %d: ", x.Line)
		}
		b.WriteString(x.What)
		if x.Fix != "" {
			fmt.Fprintf(&b, "\n  write: %s", x.Fix)
		}
	}
	return b.String()
}

// Default is the configuration of an empty file, which lacks a name and is not
// valid by itself.
func Default() Config {
	return Config{Network: "dev", NIC: "auto", IPv6: Address{RA: true}, GuestIPv6: Address{RA: true}, HealthTimeout: 5 * time.Minute}
}

// Parse reads and checks a file. Its error, if any, is of type Problems.
func Parse(text []byte) (*Config, error) {
	if len(text) > maxFile {
		return nil, Problems{{What: fmt.Sprintf("node.conf has %d bytes, at most %d are read", len(text), maxFile), Fix: "settings only: no keys of other machines, no logs"}}
	}
	c := Default()
	p := parser{c: &c, at: map[string]int{}}
	n := 0
	for line := range strings.Lines(strings.TrimPrefix(string(text), "\ufeff")) { // editors of some laptops add a byte order mark
		n++
		p.line(n, line)
	}
	p.check()
	if len(p.problems) > 0 {
		sort.SliceStable(p.problems, func(i, j int) bool { return p.problems[i].Line < p.problems[j].Line })
		return nil, p.problems
	}
	return &c, nil
}

// Render writes the configuration as a file that parses to the same again:
// each key is said, in one order, so that equal configurations are equal bytes.
func (c *Config) Render() []byte {
	var b strings.Builder
	for _, k := range keys {
		for _, v := range k.get(c) {
			fmt.Fprintf(&b, "%s = %s\n", k.name, v)
		}
	}
	return []byte(b.String())
}

// Digest is what hostd measures into PCR 12. Comments, order and defaults left
// unsaid make no difference.
func (c *Config) Digest() [sha256.Size]byte {
	return sha256.Sum256(append([]byte(domain), c.Render()...))
}

type parser struct {
	c        *Config
	at       map[string]int // key -> the line that said it
	problems Problems
}

func (p *parser) add(line int, fix, format string, args ...any) {
	if len(p.problems) < 50 { // a file of another kind has one problem per line
		p.problems = append(p.problems, Problem{line, fmt.Sprintf(format, args...), fix})
	}
}

func (p *parser) line(n int, text string) {
	if i := strings.IndexByte(text, '#'); i >= 0 {
		text = text[:i]
	}
	text = strings.TrimSpace(text)
	if text == "" {
		return
	}
	name, value, ok := strings.Cut(text, "=")
	name, value = strings.TrimSpace(name), strings.TrimSpace(value)
	if !ok {
		p.add(n, "key = value", "%.60q is not a setting", text)
		return
	}
	k := keyNamed(name)
	if k == nil {
		fix := "one of: " + strings.Join(keyNames(), ", ")
		if near := nearest(name); near != "" {
			fix = near + " = " + value
		}
		p.add(n, fix, "there is no setting %.60q", name)
		return
	}
	if first := p.at[name]; first > 0 && !k.repeat {
		p.add(n, "the line once: remove this one or line "+fmt.Sprint(first), "%s is set a second time, line %d has it", name, first)
		return
	}
	if p.at[name] == 0 {
		p.at[name] = n
	}
	if err := k.set(p.c, value); err != nil {
		p.add(n, name+" = "+k.example, "%s = %.80q: %v", name, value, err)
	}
}

// check looks at what no single line can tell. After a line that could not be
// read it would complain about what follows from that.
func (p *parser) check() {
	c := p.c
	if p.at["name"] == 0 {
		p.add(0, "name = node-1", "the node has no name")
	}
	if len(p.problems) > 0 {
		return
	}
	p.gateway("ipv4", c.IPv4, "ipv4_gateway", c.IPv4Gateway, "ipv4_gateway = "+firstHost(c.IPv4.Prefix))
	p.gateway("ipv6", c.IPv6, "ipv6_gateway", c.IPv6Gateway, "ipv6_gateway = "+firstHost(c.IPv6.Prefix))
	if c.IPv4.Off() && c.IPv6.Off() {
		p.add(max(p.at["ipv4"], p.at["ipv6"]), "ipv6 = ra", "the node has no address at all")
	}
	if c.GuestIPv4.Off() && c.GuestIPv6.Off() {
		p.add(max(p.at["guest_ipv4"], p.at["guest_ipv6"]), "guest_ipv6 = ra", "the guest has no address at all: nobody could reach its replica")
	}
	p.guest("guest_ipv4", c.GuestIPv4, "ipv4", c.IPv4, c.IPv4Gateway)
	p.guest("guest_ipv6", c.GuestIPv6, "ipv6", c.IPv6, c.IPv6Gateway)
}

func (p *parser) gateway(key string, a Address, gwKey string, gw netip.Addr, fix string) {
	switch {
	case a.Prefix.IsValid() && !gw.IsValid():
		p.add(p.at[key], fix, "%s is a fixed address, but %s is missing", key, gwKey)
	case !a.Prefix.IsValid() && gw.IsValid():
		p.add(p.at[gwKey], key+" = ADDRESS/PREFIX, or remove the gateway", "%s is set, but %s is not a fixed address", gwKey, key)
	case gw.IsValid() && !gw.IsLinkLocalUnicast() && !a.Prefix.Contains(gw):
		p.add(p.at[gwKey], fix, "%s %s is not in the network %s", gwKey, gw, a.Prefix.Masked())
	case gw.IsValid() && gw == a.Prefix.Addr():
		p.add(p.at[gwKey], fix, "%s is the node's own address", gwKey)
	}
}

// guest checks that the guest, behind the host's bridge, is in the host's network.
func (p *parser) guest(key string, g Address, hostKey string, h Address, gw netip.Addr) {
	if !g.Prefix.IsValid() {
		return
	}
	switch {
	case !h.Prefix.IsValid():
		p.add(p.at[key], hostKey+" = ADDRESS/PREFIX", "%s is a fixed address, but %s is not: the guest takes its gateway from the host's settings", key, hostKey)
	case h.Prefix.Masked() != g.Prefix.Masked():
		p.add(p.at[key], key+" = ADDRESS/"+fmt.Sprint(h.Prefix.Bits())+" in "+h.Prefix.Masked().String(), "%s is not in the host's network %s", key, h.Prefix.Masked())
	case h.Prefix.Addr() == g.Prefix.Addr():
		p.add(p.at[key], key+" = another address of "+h.Prefix.Masked().String(), "%s is the host's own address", key)
	case gw == g.Prefix.Addr():
		p.add(p.at[key], key+" = another address of "+h.Prefix.Masked().String(), "%s is the router's address", key)
	}
}

func firstHost(p netip.Prefix) string {
	if !p.IsValid() {
		return "ADDRESS"
	}
	return p.Masked().Addr().Next().String()
}
