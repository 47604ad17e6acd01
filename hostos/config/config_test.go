package config

import (
	"bytes"
	"os"
	"strings"
	"testing"
)

func good(t testing.TB) []byte {
	b, err := os.ReadFile("testdata/good.conf")
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestRenderIsCanonical(t *testing.T) {
	c, err := Parse(good(t))
	if err != nil {
		t.Fatal(err)
	}
	again, err := Parse(c.Render())
	if err != nil {
		t.Fatalf("what Render wrote does not parse: %v", err)
	}
	if !bytes.Equal(c.Render(), again.Render()) || c.Digest() != again.Digest() {
		t.Error("rendering twice differs")
	}
	shuffled := "health_timeout=180s\n" + strings.Replace(string(good(t)), "health_timeout = 3m", "", 1)
	if s, err := Parse([]byte("\ufeff" + strings.ReplaceAll(shuffled, "\n", "\r\n"))); err != nil || s.Digest() != c.Digest() {
		t.Errorf("order, spaces and comments change the digest (%v)", err)
	}
	other, _ := Parse(bytes.Replace(good(t), []byte("10.0.2.16"), []byte("10.0.2.17"), 1))
	if other.Digest() == c.Digest() {
		t.Error("another address has the same digest")
	}
}

func TestTheSmallestFile(t *testing.T) {
	c, err := Parse([]byte("name = a"))
	if err != nil {
		t.Fatal(err)
	}
	if !c.IPv6.RA || !c.GuestIPv6.RA || !c.IPv4.Off() || c.NIC != "auto" || c.Network != "dev" {
		t.Errorf("%+v", c)
	}
}

func TestProblems(t *testing.T) {
	for _, tc := range []struct {
		name, from, to string // edit of good.conf
		line           int
		what, fix      string
	}{
		{"unknown key", "guest_cpus = 2", "gest_cpus = 2", 14, `no setting "gest_cpus"`, "guest_cpus = 2"},
		{"far unknown key", "guest_cpus = 2", "colour = red", 14, `no setting "colour"`, "one of: name, network"},
		{"no equals sign", "guest_cpus = 2", "guest_cpus", 14, "not a setting", "key = value"},
		{"bad address", "10.0.2.15/24", "10.0.2.300/24", 5, "not an address", "ipv4 = 10.0.0.5/24"},
		{"no prefix", "ipv4 = 10.0.2.15/24", "ipv4 = 10.0.2.15", 5, "prefix length is missing", "ipv4 ="},
		{"other family", "ipv4 = 10.0.2.15/24", "ipv4 = 2001:db8::1/64", 5, "not an IPv4 address", "ipv4 ="},
		{"network address", "ipv4 = 10.0.2.15/24", "ipv4 = 10.0.2.0/24", 5, "of the network itself", "ipv4 ="},
		{"broadcast", "ipv4 = 10.0.2.15/24", "ipv4 = 10.0.2.255/24", 5, "of the network itself", "ipv4 ="},
		{"missing gateway", "ipv4_gateway = 10.0.2.2\n", "\n", 5, "ipv4_gateway is missing", "ipv4_gateway = 10.0.2.1"},
		{"gateway elsewhere", "10.0.2.2\n", "10.0.3.2\n", 6, "not in the network 10.0.2.0/24", "ipv4_gateway = 10.0.2.1"},
		{"gateway is self", "= 10.0.2.2\n", "= 10.0.2.15\n", 6, "own address", "ipv4_gateway"},
		{"gateway without address", "ipv6 = 2001:db8::15/64", "ipv6 = ra", 9, "not a fixed address", "remove the gateway"},
		{"duplicate", "guest_cpus = 2", "nic = eth0", 14, "a second time, line 4", "once"},
		{"guest elsewhere", "10.0.2.16/24", "10.1.2.16/24", 7, "not in the host's network", "guest_ipv4 = ADDRESS/24"},
		{"guest is host", "10.0.2.16/24", "10.0.2.15/24", 7, "the host's own address", "another address"},
		{"guest is the router", "10.0.2.16/24", "10.0.2.2/24", 7, "the router's address", "another address"},
		{"bad key", "AAECAwQF", "AAEC", 11, "not an Ed25519 public key", "admin_key = ed25519:"},
		{"same key twice", "AQECAwQF", "AAECAwQF", 12, "there already", ""},
		{"too little memory", "1024", "64", 13, "want 0 or a number from 256", "guest_memory_mib = 4096"},
		{"short timeout", "3m", "3s", 15, "from 30s to 1h", "health_timeout = 5m"},
		{"no name", "name = node-1", "", 0, "no name", "name = node-1"},
		{"bad name", "node-1", "node 1", 2, "letters, digits and hyphens", "name ="},
		{"other network", "network = dev", "network = main", 3, "dev only", "network = dev"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			text := strings.Replace(string(good(t)), tc.from, tc.to, 1)
			if text == string(good(t)) {
				t.Fatal("the edit does nothing")
			}
			c, err := Parse([]byte(text))
			p, _ := err.(Problems)
			if len(p) != 1 || c != nil {
				t.Fatalf("%d problems: %v", len(p), err)
			}
			if p[0].Line != tc.line || !strings.Contains(p[0].What, tc.what) || !strings.Contains(p[0].Fix, tc.fix) {
				t.Errorf("got line %d: %s\nwrite: %s", p[0].Line, p[0].What, p[0].Fix)
			}
		})
	}
}

func TestNoAddressAtAll(t *testing.T) {
	_, err := Parse([]byte("name=a\nipv6=none\nguest_ipv6=none\n"))
	if err == nil || !strings.Contains(err.Error(), "the node has no address") || !strings.Contains(err.Error(), "the guest has no address") {
		t.Errorf("%v", err)
	}
}

func TestABigFileIsRefused(t *testing.T) {
	if _, err := Parse(bytes.Repeat([]byte("#\n"), maxFile)); err == nil {
		t.Error("accepted")
	}
}

func TestExplainSaysTheAddresses(t *testing.T) {
	c, _ := Parse(good(t))
	for _, want := range []string{"node node-1", "10.0.2.15/24", "10.0.2.16/24, IPv6 from the router", "1024 MiB", "3m0s"} {
		if !strings.Contains(c.Explain(), want) {
			t.Errorf("explanation lacks %q:\n%s", want, c.Explain())
		}
	}
	if !strings.Contains(Keys(), "health_timeout") {
		t.Error("Keys lacks health_timeout")
	}
}

func FuzzParse(f *testing.F) {
	f.Add(good(f))
	f.Add([]byte("name=a\nipv4=1.2.3.4/31\nipv4_gateway=1.2.3.5"))
	f.Fuzz(func(t *testing.T, b []byte) {
		c, err := Parse(b)
		if err != nil {
			return
		}
		again, err := Parse(c.Render())
		if err != nil {
			t.Fatalf("rendered file does not parse: %v\n%s", err, c.Render())
		}
		if again.Digest() != c.Digest() {
			t.Fatal("digest changes")
		}
	})
}
