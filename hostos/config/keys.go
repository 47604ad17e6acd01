package config

import (
	"crypto/ed25519"
	"encoding/base64"
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"time"
)

// A key is one setting: how to read it, how to write it, what to say about it.
type key struct {
	name    string
	repeat  bool
	example string
	help    string
	set     func(*Config, string) error
	get     func(*Config) []string
}

const adminPrefix = "ed25519:"

// keys is the table of settings, in the order of Render.
var keys = []key{
	{"name", false, "node-1", "what people call this node: letters, digits, hyphens",
		func(c *Config, v string) error { return setName(&c.Name, v) },
		func(c *Config) []string { return one(c.Name) }},
	{"network", false, "dev", "the network the replica belongs to; dev is a network of this node alone",
		func(c *Config, v string) error { return setNetwork(&c.Network, v) },
		func(c *Config) []string { return one(c.Network) }},
	{"nic", false, "auto", "the network device: auto takes the first that has a link",
		func(c *Config, v string) error { return setNIC(&c.NIC, v) },
		func(c *Config) []string { return one(c.NIC) }},
	{"ipv4", false, "10.0.0.5/24", "the host's IPv4 address with its prefix length, or none",
		func(c *Config, v string) error { return setAddress(&c.IPv4, v, false) },
		func(c *Config) []string { return one(c.IPv4.String()) }},
	{"ipv4_gateway", false, "10.0.0.1", "the router for IPv4",
		func(c *Config, v string) error { return setGateway(&c.IPv4Gateway, v, false) },
		func(c *Config) []string { return gateway(c.IPv4Gateway) }},
	{"ipv6", false, "2001:db8::5/64", "the host's IPv6 address with its prefix length, ra (from the router) or none",
		func(c *Config, v string) error { return setAddress(&c.IPv6, v, true) },
		func(c *Config) []string { return one(c.IPv6.String()) }},
	{"ipv6_gateway", false, "2001:db8::1", "the router for IPv6, with a fixed address only",
		func(c *Config, v string) error { return setGateway(&c.IPv6Gateway, v, true) },
		func(c *Config) []string { return gateway(c.IPv6Gateway) }},
	{"guest_ipv4", false, "10.0.0.6/24", "the guest's IPv4 address, in the host's network; the replica answers there; or none",
		func(c *Config, v string) error { return setAddress(&c.GuestIPv4, v, false) },
		func(c *Config) []string { return one(c.GuestIPv4.String()) }},
	{"guest_ipv6", false, "2001:db8::6/64", "the guest's IPv6 address, ra or none",
		func(c *Config, v string) error { return setAddress(&c.GuestIPv6, v, true) },
		func(c *Config) []string { return one(c.GuestIPv6.String()) }},
	{"admin_key", true, adminPrefix + "<44 letters>", "a key that may upgrade and stop this node; `nodectl keygen` makes one; may be repeated",
		addAdminKey,
		func(c *Config) []string {
			var out []string
			for _, k := range c.AdminKeys {
				out = append(out, FormatAdminKey(k))
			}
			return out
		}},
	{"guest_memory_mib", false, "4096", "memory of the guest in MiB; 0: all that the host does not need",
		func(c *Config, v string) error { return setInt(&c.GuestMemoryMiB, v, 256, 8<<20) },
		func(c *Config) []string { return one(strconv.Itoa(c.GuestMemoryMiB)) }},
	{"guest_cpus", false, "4", "processors of the guest; 0: all",
		func(c *Config, v string) error { return setInt(&c.GuestCPUs, v, 1, 1024) },
		func(c *Config) []string { return one(strconv.Itoa(c.GuestCPUs)) }},
	{"health_timeout", false, "5m", "how long a new release has to become healthy before the node goes back to the last one",
		func(c *Config, v string) error { return setTimeout(&c.HealthTimeout, v) },
		func(c *Config) []string { return one(c.HealthTimeout.String()) }},
}

// FormatAdminKey is a public key as node.conf has it.
func FormatAdminKey(k ed25519.PublicKey) string {
	return adminPrefix + base64.StdEncoding.EncodeToString(k)
}

func one(s string) []string { return []string{s} }

func gateway(a netip.Addr) []string {
	if !a.IsValid() {
		return nil
	}
	return one(a.String())
}

func setName(to *string, v string) error {
	if v == "" || len(v) > 63 {
		return errors.New("a name has 1 to 63 characters")
	}
	for _, r := range v {
		if r != '-' && (r < '0' || r > '9') && (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') {
			return fmt.Errorf("a name has letters, digits and hyphens, not %q", r)
		}
	}
	*to = v
	return nil
}

func setNetwork(to *string, v string) error {
	if v != "dev" {
		return errors.New("this release knows the network dev only")
	}
	*to = v
	return nil
}

func setNIC(to *string, v string) error {
	if v == "" || len(v) > 15 || strings.ContainsAny(v, "/ \t:") { // IFNAMSIZ
		return errors.New("want auto or a device's name, such as eth0")
	}
	*to = v
	return nil
}

func setAddress(to *Address, v string, six bool) error {
	if v == "none" || v == "ra" && six {
		*to = Address{RA: v == "ra"}
		return nil
	}
	p, err := netip.ParsePrefix(v)
	if err != nil {
		if a, aerr := netip.ParseAddr(v); aerr == nil && a.Is6() == six {
			return errors.New("the prefix length is missing")
		}
		return errors.New("not an address with a prefix length")
	}
	if err := family(p.Addr(), six); err != nil {
		return err
	}
	a := p.Addr()
	switch {
	case p.Bits() == 0:
		return errors.New("the prefix length 0 would be the whole Internet")
	case a.IsUnspecified() || a.IsMulticast() || a.IsLoopback() || a.IsLinkLocalUnicast():
		return errors.New("this address cannot belong to a machine on a network")
	case !six && p.Bits() < 31 && (a == p.Masked().Addr() || isBroadcast(p)):
		return errors.New("this is the address of the network itself, not of a machine")
	}
	*to = Address{Prefix: p}
	return nil
}

func isBroadcast(p netip.Prefix) bool {
	return !p.Contains(p.Addr().Next())
}

func setGateway(to *netip.Addr, v string, six bool) error {
	a, err := netip.ParseAddr(v)
	if err != nil {
		return errors.New("not an address (a gateway has no prefix length)")
	}
	if err := family(a, six); err != nil {
		return err
	}
	if a.IsUnspecified() || a.IsMulticast() || a.IsLoopback() || a.Zone() != "" {
		return errors.New("this address cannot be a router")
	}
	*to = a
	return nil
}

func family(a netip.Addr, six bool) error {
	switch {
	case six && !a.Is6() || a.Is4In6():
		return errors.New("not an IPv6 address")
	case !six && !a.Is4():
		return errors.New("not an IPv4 address")
	}
	return nil
}

func addAdminKey(c *Config, v string) error {
	k, err := ParseAdminKey(v)
	if err != nil {
		return err
	}
	for _, have := range c.AdminKeys {
		if have.Equal(k) {
			return errors.New("this key is there already")
		}
	}
	if len(c.AdminKeys) == maxAdminKeys {
		return fmt.Errorf("at most %d keys", maxAdminKeys)
	}
	c.AdminKeys = append(c.AdminKeys, k)
	return nil
}

// ParseAdminKey reads a public key as node.conf has it.
func ParseAdminKey(v string) (ed25519.PublicKey, error) {
	b64, ok := strings.CutPrefix(v, adminPrefix)
	b, err := base64.StdEncoding.Strict().DecodeString(b64)
	if !ok || err != nil || len(b) != ed25519.PublicKeySize {
		return nil, errors.New("not an Ed25519 public key as `nodectl keygen` prints it")
	}
	return b, nil
}

func setInt(to *int, v string, low, high int) error {
	n, err := strconv.Atoi(v)
	if err != nil || n != 0 && (n < low || n > high) {
		return fmt.Errorf("want 0 or a number from %d to %d", low, high)
	}
	*to = n
	return nil
}

func setTimeout(to *time.Duration, v string) error {
	d, err := time.ParseDuration(v)
	if err != nil || d < 30*time.Second || d > time.Hour {
		return errors.New("want a time from 30s to 1h")
	}
	*to = d
	return nil
}

func keyNamed(name string) *key {
	for i := range keys {
		if keys[i].name == name {
			return &keys[i]
		}
	}
	return nil
}

func keyNames() []string {
	var out []string
	for _, k := range keys {
		out = append(out, k.name)
	}
	return out
}

// nearest guesses which setting was meant: at most two letters off.
func nearest(name string) string {
	best, at := "", 3
	for _, k := range keys {
		if d := distance(strings.ToLower(name), k.name); d < at {
			best, at = k.name, d
		}
	}
	return best
}

// distance is Levenshtein's, for words as short as ours.
func distance(a, b string) int {
	if len(a) > 32 {
		return 99
	}
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range a {
		diag := row[0]
		row[0] = i + 1
		for j := range b {
			cost := diag
			if a[i] != b[j] {
				cost = 1 + min(diag, row[j], row[j+1])
			}
			diag, row[j+1] = row[j+1], cost
		}
	}
	return row[len(b)]
}
