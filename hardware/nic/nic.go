// Package nic finds the network devices of a machine and gives them addresses.
//
//	Wired ──> eth0, eth1 ── Up ──> HasLink ── Configure ──> addresses, routes
//
// A device is wired when it has hardware behind it: bridges, taps and loopback
// have none. Configure sets what it is told and nothing else: no forwarding,
// no duplicate address detection (it costs a second or two at each boot, and an
// address in node.conf is there because someone chose it).
package nic

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"path"
	"sort"
	"strings"
)

const ethernet = "1" // ARPHRD_ETHER

// Addressing is what one device gets.
type Addressing struct {
	IPv4, IPv6         netip.Prefix // invalid: none
	Gateway4, Gateway6 netip.Addr
	RA                 bool // IPv6 by router advertisement
}

// Wired lists the network devices with hardware behind them, sorted.
func Wired(sys fs.FS) ([]string, error) {
	entries, err := fs.ReadDir(sys, "class/net")
	if err != nil {
		return nil, fmt.Errorf("list network devices: %w", err)
	}
	var names []string
	for _, e := range entries {
		kind, _ := fs.ReadFile(sys, path.Join("class/net", e.Name(), "type"))
		_, err := fs.Stat(sys, path.Join("class/net", e.Name(), "device"))
		if err == nil && strings.TrimSpace(string(kind)) == ethernet {
			names = append(names, e.Name())
		}
	}
	sort.Strings(names)
	return names, nil
}

// HasLink says whether a cable is plugged in and the other end answers.
func HasLink(sys fs.FS, name string) bool {
	b, err := fs.ReadFile(sys, path.Join("class/net", name, "carrier"))
	return err == nil && strings.TrimSpace(string(b)) == "1"
}

// Choose picks the device: the one that is named, or the first with a link.
func Choose(sys fs.FS, want string) (string, error) {
	names, err := Wired(sys)
	if err != nil {
		return "", err
	}
	if len(names) == 0 {
		return "", errors.New("no network device found: the machine has none, or its driver is not in the image")
	}
	for _, n := range names {
		if n == want || want == "auto" && HasLink(sys, n) {
			return n, nil
		}
	}
	if want != "auto" {
		return "", fmt.Errorf("no network device is called %s; there is %s: write one of them as nic in node.conf", want, strings.Join(names, ", "))
	}
	return "", fmt.Errorf("no link on %s: plug a cable in", strings.Join(names, ", "))
}

// Addresses returns the addresses that a device has now, link-local ones last.
func Addresses(name string) []string {
	dev, err := net.InterfaceByName(name)
	if err != nil {
		return nil
	}
	list, err := dev.Addrs()
	if err != nil {
		return nil
	}
	var global, local []string
	for _, a := range list {
		p, err := netip.ParsePrefix(a.String())
		switch {
		case err != nil:
		case p.Addr().IsLinkLocalUnicast():
			local = append(local, a.String())
		default:
			global = append(global, a.String())
		}
	}
	return append(global, local...)
}

// sysctl sets one of a device's IPv6 parameters.
func sysctl(dev, key, value string) error {
	err := os.WriteFile("/proc/sys/net/ipv6/conf/"+dev+"/"+key, []byte(value), 0)
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("set IPv6 %s of %s: the kernel has no IPv6 for this device", key, dev)
	}
	if err != nil {
		return fmt.Errorf("set IPv6 %s of %s: %w", key, dev, err)
	}
	return nil
}
