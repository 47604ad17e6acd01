package network

import (
	"strings"
	"testing"
	"testing/fstest"

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

func TestReadyWantsALinkAndAnAddress(t *testing.T) {
	c, err := config.Parse([]byte("name = a"))
	if err != nil {
		t.Fatal(err)
	}
	machine := func(carrier string, plugged bool) fstest.MapFS {
		m := fstest.MapFS{}
		for f, text := range map[string]string{"eth0/type": "1\n", "eth0/device/vendor": "x", "eth0/carrier": carrier, "tap0/type": "1\n", "tap0/carrier": "1\n", "br0/brif/tap0/x": ""} {
			m["class/net/"+f] = &fstest.MapFile{Data: []byte(text)}
		}
		if plugged {
			m["class/net/br0/brif/eth0/x"] = &fstest.MapFile{}
		}
		return m
	}
	for _, tc := range []struct {
		name string
		sys  fstest.MapFS
		have []string
		says string
	}{
		{"all is well", machine("1\n", true), []string{"2001:db8::5/64", "fe80::1/64"}, ""},
		{"no cable", machine("0\n", true), []string{"2001:db8::5/64"}, "no link on eth0"},
		{"not on the bridge", machine("1\n", false), []string{"2001:db8::5/64"}, "no link"},
		{"no router", machine("1\n", true), []string{"fe80::1/64"}, "no router has announced itself"},
		{"nothing at all", machine("1\n", true), nil, "br0 has no address"},
	} {
		err := ready(tc.sys, c, tc.have)
		if (err == nil) != (tc.says == "") || err != nil && !strings.Contains(err.Error(), tc.says) {
			t.Errorf("%s: %v", tc.name, err)
		}
	}
}
