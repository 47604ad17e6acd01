package network

import (
	"testing"

	"ashlar/hostos/config"
)

func TestTheGuestsConfigurationIsOneThatItTakes(t *testing.T) {
	for name, text := range map[string]string{
		"defaults": "name = a",
		"fixed":    "name = a\nipv4 = 10.0.2.15/24\nipv4_gateway = 10.0.2.2\nguest_ipv4 = 10.0.2.16/24\nipv6 = 2001:db8::5/64\nipv6_gateway = fe80::1\nguest_ipv6 = 2001:db8::6/64",
		"IPv4":     "name = a\nipv6 = none\nguest_ipv6 = none\nipv4 = 10.0.2.15/24\nipv4_gateway = 10.0.2.2\nguest_ipv4 = 10.0.2.16/24",
	} {
		c, err := config.Parse([]byte(text))
		if err != nil {
			t.Fatal(err)
		}
		g := Guest(c)
		if err := g.Check(); err != nil {
			t.Errorf("%s: the guest refuses it: %v", name, err)
		}
		if name == "fixed" && (g.IPv4.Prefix != "10.0.2.16/24" || g.IPv4.Gateway != "10.0.2.2" || g.IPv6.Gateway != "fe80::1") {
			t.Errorf("%s: %+v", name, g)
		}
	}
}
