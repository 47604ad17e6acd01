package config

import (
	"fmt"
	"strings"
)

// Explain tells in words what a configuration makes of the node.
func (c *Config) Explain() string {
	var b strings.Builder
	say := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	say("node %s on network %s", c.Name, c.Network)
	if c.NIC == "auto" {
		say("  network device  the first that has a link")
	} else {
		say("  network device  %s", c.NIC)
	}
	say("  host            %s", addresses(c.IPv4, c.IPv6))
	say("  guest           %s", addresses(c.GuestIPv4, c.GuestIPv6))
	say("  guest machine   %s, %s", amount(c.GuestMemoryMiB, "MiB", "all memory that the host does not need"), amount(c.GuestCPUs, "processors", "all processors"))
	say("  a new release   has %v to become healthy", c.HealthTimeout)
	if len(c.AdminKeys) == 0 {
		say("  administrators  none: nobody can upgrade or stop this node over the network")
	}
	for _, k := range c.AdminKeys {
		say("  administrator   %s", FormatAdminKey(k))
	}
	say("  digest          %x (PCR 12)", c.Digest())
	return b.String()
}

// Keys describes every setting, for `nodectl config keys`.
func Keys() string {
	var b strings.Builder
	d := Default()
	for _, k := range keys {
		def := strings.Join(k.get(&d), ", ")
		if def == "" {
			def = "-"
		}
		fmt.Fprintf(&b, "%-17s %s\n%-17s default: %s   example: %s = %s\n", k.name, k.help, "", def, k.name, k.example)
	}
	return b.String()
}

func addresses(four, six Address) string {
	var s []string
	if !four.Off() {
		s = append(s, four.String())
	}
	if six.RA {
		s = append(s, "IPv6 from the router")
	} else if !six.Off() {
		s = append(s, six.String())
	}
	return strings.Join(s, ", ")
}

func amount(n int, unit, all string) string {
	if n == 0 {
		return all
	}
	return fmt.Sprintf("%d %s", n, unit)
}
