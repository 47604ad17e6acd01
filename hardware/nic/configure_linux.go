package nic

import (
	"errors"
	"fmt"
	"net"
	"net/netip"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// Up switches a device on.
func Up(name string) error {
	link, err := netlink.LinkByName(name)
	if err != nil {
		return fmt.Errorf("network device %s: %w", name, err)
	}
	if err := netlink.LinkSetUp(link); err != nil {
		return fmt.Errorf("switch network device %s on: %w", name, err)
	}
	return nil
}

// Configure switches a device on and gives it its addresses and routes.
func Configure(name string, a Addressing) error {
	link, err := netlink.LinkByName(name)
	if err != nil {
		return fmt.Errorf("network device %s: %w", name, err)
	}
	if err := routerAdvertisements(name, a.RA); err != nil && (a.RA || a.IPv6.IsValid()) {
		return err
	}
	if err := netlink.LinkSetUp(link); err != nil {
		return fmt.Errorf("switch network device %s on: %w", name, err)
	}
	for _, f := range []struct {
		p  netip.Prefix
		gw netip.Addr
	}{{a.IPv4, a.Gateway4}, {a.IPv6, a.Gateway6}} {
		if !f.p.IsValid() {
			continue
		}
		if err := address(link, f.p); err != nil {
			return err
		}
		if err := route(link, f.p, f.gw); err != nil {
			return err
		}
	}
	return nil
}

// routerAdvertisements says whether the kernel takes addresses from the router.
func routerAdvertisements(name string, yes bool) error {
	ra := "0"
	if yes {
		ra = "1"
	}
	return errors.Join(
		sysctl(name, "accept_dad", "0"),
		sysctl(name, "forwarding", "0"),
		sysctl(name, "accept_ra", ra),
		sysctl(name, "autoconf", ra),
	)
}

func address(link netlink.Link, p netip.Prefix) error {
	a := &netlink.Addr{IPNet: &net.IPNet{IP: p.Addr().AsSlice(), Mask: net.CIDRMask(p.Bits(), p.Addr().BitLen())}}
	if p.Addr().Is6() {
		a.Flags = unix.IFA_F_NODAD
	}
	if err := netlink.AddrReplace(link, a); err != nil {
		return fmt.Errorf("give %s the address %s: %w", link.Attrs().Name, p, err)
	}
	return nil
}

func route(link netlink.Link, p netip.Prefix, gw netip.Addr) error {
	r := &netlink.Route{LinkIndex: link.Attrs().Index, Gw: gw.AsSlice()}
	if !p.Contains(gw) {
		r.Flags = int(netlink.FLAG_ONLINK) // a link-local router, say
	}
	if err := netlink.RouteReplace(r); err != nil {
		return fmt.Errorf("route of %s over %s: %w", link.Attrs().Name, gw, err)
	}
	return nil
}
