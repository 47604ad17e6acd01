package p2p

import (
	"crypto/ed25519"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"syscall"
	"time"

	"github.com/libp2p/go-libp2p/core/control"
	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/crypto/pb"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/sec"
	"github.com/libp2p/go-libp2p/p2p/host/eventbus"
	"github.com/libp2p/go-libp2p/p2p/host/peerstore/pstoremem"
	rcmgr "github.com/libp2p/go-libp2p/p2p/host/resource-manager"
	"github.com/libp2p/go-libp2p/p2p/muxer/yamux"
	"github.com/libp2p/go-libp2p/p2p/net/swarm"
	"github.com/libp2p/go-libp2p/p2p/net/upgrader"
	"github.com/libp2p/go-libp2p/p2p/security/noise"
	"github.com/libp2p/go-libp2p/p2p/transport/tcp"
	"github.com/multiformats/go-multiaddr"
	manet "github.com/multiformats/go-multiaddr/net"
)

// Limits of the transport.
const (
	maxStrangers = 64 // connections that have not yet shown who they are
	maxPerPeer   = 2  // connections: two may cross
	maxStreams   = 16 // that a peer may open
	maxPerHost   = 64 // connections from one address: test networks live behind one

	// peerBytes is what the muxer may hold of one peer.
	peerBytes = 32 << 20
	// windowBytes may be under way on one stream: what a vote may have before it on
	// the line, for each of the few streams that carry much. 40 MB/s at 125 ms and ten streams.
	windowBytes = 512 << 10
	// pieceBytes are written at once: streams take turns.
	pieceBytes = 16 << 10
	// aliveEvery is how soon a dead line is noticed.
	aliveEvery = 5 * time.Second
)

// listen makes the swarm: TCP, Noise, yamux, and nothing else.
func (h *Host) listen() error {
	key := &signer{h.cfg}
	id, err := peer.IDFromPublicKey(key.GetPublic())
	if err != nil {
		return err
	}
	store, err := pstoremem.NewPeerstore()
	if err != nil {
		return err
	}
	if err := errors.Join(store.AddPubKey(id, key.GetPublic()), store.AddPrivKey(id, key)); err != nil {
		return err
	}
	limits, err := resources()
	if err != nil {
		return err
	}
	gate := gate{h}
	h.swarm, err = swarm.NewSwarm(id, store, eventbus.NewBus(), swarm.WithConnectionGater(gate), swarm.WithResourceManager(limits),
		swarm.WithDialTimeout(dialTimeout), swarm.WithDialTimeoutLocal(dialTimeout))
	if err != nil {
		return err
	}
	muxers := []upgrader.StreamMuxer{{ID: yamux.ID, Muxer: muxer()}}
	security, err := noise.New(noise.ID, key, muxers)
	if err != nil {
		return err
	}
	up, err := upgrader.New([]sec.SecureTransport{security}, muxers, nil, limits, gate)
	if err != nil {
		return err
	}
	transport, err := tcp.NewTCPTransport(up, limits, nil, tcp.DisableReuseport())
	if err != nil {
		return err
	}
	if err := h.swarm.AddTransport(transport); err != nil {
		return err
	}
	h.swarm.SetStreamHandler(h.accept)
	at, err := multiaddress(h.cfg.Listen)
	if err != nil {
		return err
	}
	if err := h.swarm.Listen(at); err != nil {
		h.swarm.Close()
		if strings.Contains(err.Error(), syscall.EADDRINUSE.Error()) { // the swarm keeps the text only
			return fmt.Errorf("%s is in use by another program, peers could not reach this node\n  see which:           ss -ltnp 'sport = :%d'\n  or choose another, and tell the registry:   --p2p %s", h.cfg.Listen, h.cfg.Listen.Port(), netip.AddrPortFrom(h.cfg.Listen.Addr(), 0))
		}
		return fmt.Errorf("cannot listen for peers on %s: %w\n  give an address of this machine and a port: --p2p ADDRESS:PORT", h.cfg.Listen, err)
	}
	return nil
}

// muxer is yamux for a few long streams of small messages beside large ones.
func muxer() *yamux.Transport {
	c := *yamux.DefaultTransport.Config()
	c.MaxStreamWindowSize = windowBytes
	c.MaxMessageSize = pieceBytes
	c.KeepAliveInterval = aliveEvery
	return (*yamux.Transport)(&c)
}

func resources() (network.ResourceManager, error) {
	limits := rcmgr.PartialLimitConfig{
		Transient:   rcmgr.ResourceLimits{Conns: maxStrangers, ConnsInbound: maxStrangers, FD: maxStrangers},
		PeerDefault: rcmgr.ResourceLimits{Conns: maxPerPeer, StreamsInbound: maxStreams, Streams: 4 * maxStreams, Memory: peerBytes},
	}.Build(rcmgr.DefaultLimits.AutoScale())
	v4, v6 := []rcmgr.ConnLimitPerSubnet{{PrefixLength: 32, ConnCount: maxPerHost}}, []rcmgr.ConnLimitPerSubnet{{PrefixLength: 64, ConnCount: maxPerHost}}
	return rcmgr.NewResourceManager(rcmgr.NewFixedLimiter(limits), rcmgr.WithLimitPerSubnet(v4, v6), rcmgr.WithMetricsDisabled())
}

func multiaddress(at netip.AddrPort) (multiaddr.Multiaddr, error) {
	return manet.FromNetAddr(net.TCPAddrFromAddrPort(at))
}

func addrPort(a multiaddr.Multiaddr) (netip.AddrPort, bool) {
	n, err := manet.ToNetAddr(a)
	if err != nil {
		return netip.AddrPort{}, false
	}
	t, ok := n.(*net.TCPAddr)
	if !ok {
		return netip.AddrPort{}, false
	}
	return t.AddrPort(), true
}

func peerID(key ed25519.PublicKey) (peer.ID, error) {
	k, err := crypto.UnmarshalEd25519PublicKey(key)
	if err != nil {
		return "", err
	}
	return peer.IDFromPublicKey(k)
}

// gate lets members in, and dials no one else.
type gate struct{ h *Host }

func (g gate) InterceptPeerDial(p peer.ID) bool                                { return g.h.welcome(p) }
func (g gate) InterceptAddrDial(p peer.ID, _ multiaddr.Multiaddr) bool         { return g.h.welcome(p) }
func (g gate) InterceptAccept(network.ConnMultiaddrs) bool                     { return true }
func (g gate) InterceptUpgraded(network.Conn) (bool, control.DisconnectReason) { return true, 0 }
func (g gate) InterceptSecured(_ network.Direction, p peer.ID, at network.ConnMultiaddrs) bool {
	if g.h.remote(p) == nil {
		g.h.stranger(p, at.RemoteMultiaddr())
	}
	return g.h.welcome(p)
}

func (h *Host) welcome(p peer.ID) bool {
	r := h.remote(p)
	return r != nil && !r.banned()
}

// stranger was turned away.
func (h *Host) stranger(p peer.ID, at multiaddr.Multiaddr) {
	h.strangers.Add(1)
	now, last := time.Now().UnixNano(), h.told.Load()
	if now-last < int64(quietTime) || !h.told.CompareAndSwap(last, now) {
		return
	}
	h.cfg.Log(fmt.Sprintf("a node at %s with key %s was turned away: the registry names no such member of this subnet", at, p))
}

// signer is the node's key as libp2p wants it: the secret stays where it is.
type signer struct{ cfg Config }

func (s *signer) Sign(message []byte) ([]byte, error) { return s.cfg.Sign(message), nil }
func (s *signer) Type() pb.KeyType                    { return pb.KeyType_Ed25519 }
func (s *signer) Raw() ([]byte, error)                { return nil, errors.New("the node's key is not given away") }
func (s *signer) GetPublic() crypto.PubKey {
	k, err := crypto.UnmarshalEd25519PublicKey(s.cfg.Key)
	if err != nil {
		panic(fmt.Sprintf("p2p: the node's key has %d bytes", len(s.cfg.Key)))
	}
	return k
}
func (s *signer) Equals(o crypto.Key) bool {
	other, ok := o.(*signer)
	return ok && s.cfg.Key.Equal(other.cfg.Key)
}
