// Package network connects the node: one bridge with the wire and the guest on it.
//
//	eth0 ──┐
//	       br0  the host's addresses
//	tap0 ──┘    (guest: its own, on its end of tap0)
//
// The host forwards nothing: the bridge works below IP. It has the MAC address
// of the wired device, so that what the router remembers stays true.
package network

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"strings"
	"time"

	"ashlar/guestos/hostlink"
	"ashlar/hardware/block"
	"ashlar/hardware/nic"
	"ashlar/hostos/config"

	"github.com/vishvananda/netlink"
)

const (
	// Bridge and Tap are the names of the devices made here.
	Bridge = "br0"
	Tap    = "tap0"

	linkWait = 20 * time.Second // switches take seconds to open a port
	raWait   = 10 * time.Second // for an address from the router; the kernel goes on asking after that
)

// Up builds the bridge and configures the host. It returns what it did.
func Up(ctx context.Context, c *config.Config) (string, error) {
	if err := nic.Up("lo"); err != nil {
		return "", err
	}
	wired, err := choose(ctx, c.NIC)
	if err != nil {
		return "", err
	}
	if err := build(wired); err != nil {
		return "", err
	}
	err = nic.Configure(Bridge, nic.Addressing{
		IPv4: c.IPv4.Prefix, Gateway4: c.IPv4Gateway, IPv6: c.IPv6.Prefix, Gateway6: c.IPv6Gateway, RA: c.IPv6.RA,
	})
	if err != nil {
		return "", err
	}
	if c.IPv6.RA && c.IPv4.Off() { // the only address: without it nobody reaches the node
		if err := waitForAddress(ctx); err != nil {
			return fmt.Sprintf("%s on %s, no router has announced itself within %v: still asking", Bridge, wired, raWait), nil
		}
	}
	return fmt.Sprintf("%s on %s, %s", Bridge, wired, strings.Join(nic.Addresses(Bridge), " ")), nil
}

// choose waits for the device of the configuration, switching each on: a
// device that is off has no link.
func choose(ctx context.Context, want string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, linkWait)
	defer cancel()
	var name string
	var last error
	err := block.Wait(ctx, func() (bool, error) {
		names, err := nic.Wired(block.Sys())
		if err != nil {
			return false, err
		}
		for _, n := range names {
			if err := nic.Up(n); err != nil {
				return false, err
			}
		}
		name, last = nic.Choose(block.Sys(), want)
		return last == nil, nil
	})
	if last != nil {
		return "", last
	}
	return name, err
}

// build makes bridge and tap and plugs them together. Done twice it is as if done once.
func build(wired string) error {
	dev, err := netlink.LinkByName(wired)
	if err != nil {
		return fmt.Errorf("network device %s: %w", wired, err)
	}
	snooping := false
	br := &netlink.Bridge{LinkAttrs: netlink.LinkAttrs{Name: Bridge, HardwareAddr: dev.Attrs().HardwareAddr}, MulticastSnooping: &snooping} // snooping without a querier loses IPv6 neighbours
	if err := netlink.LinkAdd(br); err != nil && !errors.Is(err, os.ErrExist) {
		return fmt.Errorf("make bridge %s: %w", Bridge, err)
	}
	tap := &netlink.Tuntap{LinkAttrs: netlink.LinkAttrs{Name: Tap}, Mode: netlink.TUNTAP_MODE_TAP, Flags: netlink.TUNTAP_NO_PI | netlink.TUNTAP_VNET_HDR}
	if err := netlink.LinkAdd(tap); err != nil && !errors.Is(err, os.ErrExist) {
		return fmt.Errorf("make %s for the guest: %w", Tap, err)
	}
	bridge, err := netlink.LinkByName(Bridge)
	if err != nil {
		return fmt.Errorf("bridge %s: %w", Bridge, err)
	}
	for _, name := range []string{wired, Tap} {
		port, err := netlink.LinkByName(name)
		if err != nil {
			return fmt.Errorf("network device %s: %w", name, err)
		}
		if err := netlink.LinkSetMaster(port, bridge); err != nil {
			return fmt.Errorf("plug %s into %s: %w", name, Bridge, err)
		}
		if err := nic.Up(name); err != nil {
			return err
		}
	}
	return nil
}

// Ready says what keeps others from reaching this host: the health gate of a new
// release asks, because its guest may be well and nobody able to tell.
func Ready(c *config.Config) error { return ready(block.Sys(), c, nic.Addresses(Bridge)) }

func ready(sys fs.FS, c *config.Config, have []string) error {
	names, err := nic.Wired(sys)
	if err != nil {
		return err
	}
	linked := false
	for _, n := range names {
		_, err := fs.Stat(sys, "class/net/"+Bridge+"/brif/"+n)
		linked = linked || err == nil && nic.HasLink(sys, n)
	}
	if !linked {
		return fmt.Errorf("no link on %s", strings.Join(names, ", "))
	}
	reachable := false
	for _, a := range have {
		p, err := netip.ParsePrefix(a)
		if err != nil || p.Addr().IsLinkLocalUnicast() {
			continue
		}
		reachable = true
	}
	if !reachable {
		return fmt.Errorf("%s has no address: %s", Bridge, wanted(c))
	}
	return nil
}

func wanted(c *config.Config) string {
	if c.IPv4.Off() && c.IPv6.RA {
		return "no router has announced itself"
	}
	return "node.conf wants " + c.IPv4.String() + ", " + c.IPv6.String()
}

func waitForAddress(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, raWait)
	defer cancel()
	updates := make(chan netlink.AddrUpdate, 16)
	done := make(chan struct{})
	defer close(done)
	if err := netlink.AddrSubscribe(updates, done); err != nil {
		return err
	}
	for {
		if a := nic.Addresses(Bridge); len(a) > 0 && !strings.HasPrefix(a[0], "fe80") {
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-updates:
		}
	}
}

// MAC is the guest's hardware address: local, and always the same for one
// wired device, so that its addresses by router advertisement stay.
func MAC() string {
	link, err := netlink.LinkByName(Bridge)
	seed := []byte("no bridge")
	if err == nil {
		seed = link.Attrs().HardwareAddr
	}
	h := sha256.Sum256(append([]byte("ashlar guest "), seed...))
	return net.HardwareAddr{0x6a, 0x01, h[0], h[1], h[2], h[3]}.String()
}

// Guest is the configuration that the guest gets over hostlink.
func Guest(c *config.Config) hostlink.Config {
	g := hostlink.Config{Node: c.Name, Network: c.Network, Listen: "[::]:4943", LogLevel: "info"}
	if p := c.GuestIPv4.Prefix; p.IsValid() {
		g.IPv4 = hostlink.Address{Prefix: p.String(), Gateway: c.IPv4Gateway.String()}
	}
	g.IPv6.RA = c.GuestIPv6.RA
	if p := c.GuestIPv6.Prefix; p.IsValid() {
		g.IPv6 = hostlink.Address{Prefix: p.String(), Gateway: c.IPv6Gateway.String()}
	}
	return g
}
