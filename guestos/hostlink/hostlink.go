// Package hostlink is what host and guest say to each other, over vsock.
//
//	guest ── hello ──> host
//	guest <─ config ── host        the guest's only configuration
//	guest ── phase, health ──> host
//	guest <─ shutdown ── host
//
// The guest dials (host CID 2, port 1024); the host only ever answers. It is a
// narrow boundary, not one of trust: each side takes the few fields it knows,
// checks and bounds them, and the host obeys nothing that the guest says.
// The connection is a net.Conn, so that tests use a pipe. When it breaks, the
// guest dials again and says hello again; nothing is lost that is not repeated.
package hostlink

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"time"
)

const (
	helloTimeout = 30 * time.Second // a guest under emulation may be busy
	writeTimeout = 10 * time.Second // a peer that does not read is gone
)

// A Conn is either end after the greeting. Send may be called concurrently.
type Conn struct {
	Peer Hello // on the host's end: what the guest said

	conn net.Conn
	mu   sync.Mutex
}

// Greet is the guest's end: it says hello and receives the configuration.
func Greet(conn net.Conn, release string) (*Conn, Config, error) {
	c := &Conn{conn: conn}
	if err := c.Send(Frame{Kind: KindHello, Hello: &Hello{Protocol: version, Version: release}}); err != nil {
		return nil, Config{}, err
	}
	_ = conn.SetReadDeadline(time.Now().Add(helloTimeout))
	f, err := Read(conn)
	_ = conn.SetReadDeadline(time.Time{})
	if err != nil {
		return nil, Config{}, fmt.Errorf("hostlink: waiting for the host's config: %w", err)
	}
	if f.Kind != KindConfig {
		return nil, Config{}, fmt.Errorf("hostlink: the host sent %s, want config", f.Kind)
	}
	return c, *f.Config, nil
}

// Accept is the host's end: it reads hello and answers with the configuration.
func Accept(conn net.Conn, config Config) (*Conn, error) {
	_ = conn.SetReadDeadline(time.Now().Add(helloTimeout))
	f, err := Read(conn)
	_ = conn.SetReadDeadline(time.Time{})
	if err != nil {
		return nil, fmt.Errorf("hostlink: waiting for the guest's hello: %w", err)
	}
	if f.Kind != KindHello {
		return nil, fmt.Errorf("hostlink: the guest sent %s, want hello", f.Kind)
	}
	if f.Hello.Protocol != version {
		return nil, fmt.Errorf("hostlink: the guest speaks version %d, this host version %d: a slot holds guest and host of one release", f.Hello.Protocol, version)
	}
	c := &Conn{Peer: *f.Hello, conn: conn}
	return c, c.Send(Frame{Kind: KindConfig, Config: &config})
}

// Send sends one frame.
func (c *Conn) Send(f Frame) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	_ = c.conn.SetWriteDeadline(time.Now().Add(writeTimeout))
	return Write(c.conn, f)
}

// Serve gives each frame received to handle until the connection ends or ctx does.
func (c *Conn) Serve(ctx context.Context, handle func(Frame)) error {
	stop := context.AfterFunc(ctx, func() { c.conn.Close() })
	defer stop()
	for {
		f, err := Read(c.conn)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err != nil {
			return err
		}
		handle(f)
	}
}

// Close ends the connection.
func (c *Conn) Close() error { return c.conn.Close() }

// Check refuses a configuration that a guest cannot use.
func (c Config) Check() error {
	if c.Network != "dev" {
		return fmt.Errorf("config: unknown network %.64q", c.Network)
	}
	if _, err := netip.ParseAddrPort(c.Listen); err != nil {
		return fmt.Errorf("config: listen address %.64q: want ADDRESS:PORT", c.Listen)
	}
	switch c.LogLevel {
	case "", "info", "debug":
	default:
		return fmt.Errorf("config: unknown log level %.64q", c.LogLevel)
	}
	if c.IPv4 == (Address{}) && c.IPv6 == (Address{}) {
		return errors.New("config: the guest has no address")
	}
	return errors.Join(bound("node", c.Node, maxNameText), c.IPv4.check("ipv4", false), c.IPv6.check("ipv6", true))
}

func (a Address) check(what string, six bool) error {
	if a == (Address{}) {
		return nil
	}
	if a.RA {
		if !six || a.Prefix != "" || a.Gateway != "" {
			return fmt.Errorf("config: %s by router advertisement and by hand", what)
		}
		return nil
	}
	p, err := netip.ParsePrefix(a.Prefix)
	if err != nil || p.Addr().Is6() != six {
		return fmt.Errorf("config: %s address %.64q", what, a.Prefix)
	}
	gw, err := netip.ParseAddr(a.Gateway)
	if err != nil || gw.Is6() != six {
		return fmt.Errorf("config: %s gateway %.64q", what, a.Gateway)
	}
	return nil
}
