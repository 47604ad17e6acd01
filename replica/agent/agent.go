// Package agent is the client side of the HTTP interface: it signs requests,
// submits them, waits for their certificates and believes nothing else.
//
//	Call  ── v4 call ─┬─ certificate ─────────────── verify ─┬─> reply
//	                  └─ 202 ── poll v3 read_state ── verify ─┘
//	Query ── v3 query ── node signature, by a key from a certificate ──> reply
//
// Make one with New. A rejection is a *Rejected. Specification: https-interface.md.
package agent

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"ashlar/replica/crypto/bls"
	"ashlar/replica/ic"
	"ashlar/replica/wire/cbor"
	"ashlar/replica/wire/cert"
	"ashlar/replica/wire/envelope"
	"ashlar/replica/wire/hashtree"
)

// Limits and times of the client.
const (
	requestTTL    = 4 * time.Minute        // until a request expires: below the 5 minutes a node takes
	certAge       = 5 * time.Minute        // how far a certificate's time may lie from ours
	pollFirst     = 100 * time.Millisecond // between polls at first: less than a round of a fast subnet
	pollMost      = 2 * time.Second        // between polls at last
	requestTime   = 60 * time.Second       // for one HTTP request; a node holds a call for 10 s
	maxReplyBytes = 16 << 20               // of a response: a certificate with 3 MiB and its neighbours
	nonceBytes    = 16                     // enough that no two calls are equal
)

// Agent talks to one node or boundary as one identity.
type Agent struct {
	url     string
	by      envelope.Signer
	info    *envelope.SenderInfo
	client  *http.Client
	now     func() time.Time
	unsafe  bool // queries are not verified
	mu      sync.Mutex
	rootKey []byte
	nodes   map[ic.Principal][]byte // Ed25519 keys in DER, by node, as certified
}

// Options of New; all are optional.
type Options struct {
	Identity envelope.Signer // default: Anonymous
	// RootKey in DER. Without it, FetchRootKey must be called: only for a network of one's own.
	RootKey []byte
	Client  *http.Client
	Now     func() time.Time
	// UnverifiedQueries skips the check of query signatures.
	UnverifiedQueries bool
}

// New makes an agent for a URL such as http://127.0.0.1:4943.
func New(base string, o Options) (*Agent, error) {
	u, err := url.Parse(base)
	if err != nil || u.Host == "" {
		return nil, fmt.Errorf("%q is not the URL of a replica, such as http://127.0.0.1:4943", base)
	}
	a := &Agent{url: strings.TrimSuffix(base, "/"), by: o.Identity, client: o.Client, now: o.Now, rootKey: o.RootKey, unsafe: o.UnverifiedQueries,
		nodes: map[ic.Principal][]byte{}}
	if a.by == nil {
		a.by = Anonymous
	}
	if a.client == nil {
		a.client = &http.Client{Timeout: requestTime}
	}
	if a.now == nil {
		a.now = time.Now
	}
	return a, nil
}

// As is the same agent with another identity.
func (a *Agent) As(by envelope.Signer) *Agent {
	a.mu.Lock()
	defer a.mu.Unlock()
	return &Agent{url: a.url, by: by, client: a.client, now: a.now, rootKey: a.rootKey, unsafe: a.unsafe, nodes: map[ic.Principal][]byte{}}
}

// Saying is the same agent, whose calls and queries carry what a canister attests of
// their sender.
func (a *Agent) Saying(info *envelope.SenderInfo) *Agent {
	b := a.As(a.by)
	b.info = info
	return b
}

// Sender is who the agent's requests are from.
func (a *Agent) Sender() ic.Principal { return PrincipalOf(a.by) }

// Status is what a node says of itself; nothing of it is certified.
type Status struct {
	RootKey []byte `cbor:"root_key"`
	Version string `cbor:"impl_version"`
	Health  string `cbor:"replica_health_status"`
	Height  uint64 `cbor:"certified_height"`
}

// Status asks the node for its status.
func (a *Agent) Status(ctx context.Context) (*Status, error) {
	s := new(Status)
	if _, err := a.roundTrip(ctx, http.MethodGet, "/api/v2/status", nil, s); err != nil {
		return nil, err
	}
	return s, nil
}

// FetchRootKey trusts the node with the root key: for networks of one's own only.
func (a *Agent) FetchRootKey(ctx context.Context) ([]byte, error) {
	s, err := a.Status(ctx)
	if err != nil {
		return nil, err
	}
	if _, err := bls.ParseDER(s.RootKey); err != nil {
		return nil, fmt.Errorf("status of %s: root key: %w", a.url, err)
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.rootKey = s.RootKey
	return s.RootKey, nil
}

func (a *Agent) root() ([]byte, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.rootKey == nil {
		return nil, errors.New("the agent has no root key: give it one, or fetch it from a network of your own")
	}
	return a.rootKey, nil
}

// Rejected is the answer to a call or query that failed.
type Rejected struct {
	Class     ic.RejectCode
	Message   string
	ErrorCode string // such as IC0503; may be empty
	// Certified is false where only the node says so: it did not accept the call,
	// or it is a query.
	Certified bool
}

func (r *Rejected) Error() string {
	return fmt.Sprintf("rejected with code %d (%s): %s", r.Class, r.ErrorCode, r.Message)
}

// seal signs a request that expires soon.
func (a *Agent) seal(c *envelope.Content) ([]byte, ic.RequestID, error) {
	c.Expiry = uint64(a.now().Add(requestTTL).UnixNano())
	if c.Type == envelope.Call {
		c.Nonce = make([]byte, nonceBytes)
		_, _ = rand.Read(c.Nonce) // never fails
	}
	if c.Type != envelope.ReadState {
		c.SenderInfo = a.info
	}
	return envelope.Seal(*c, a.by)
}

// ReadState returns a verified certificate about paths, through the canister's endpoint.
func (a *Agent) ReadState(ctx context.Context, effective ic.CanisterID, paths ...hashtree.Path) (*cert.Certificate, error) {
	c, err := a.readState(ctx, "/api/v3/canister/"+effective.String(), paths)
	if err != nil {
		return nil, err
	}
	return c, a.verify(c, effective)
}

// ReadSubnet is ReadState through the subnet's endpoint.
func (a *Agent) ReadSubnet(ctx context.Context, subnet ic.SubnetID, paths ...hashtree.Path) (*cert.Certificate, error) {
	c, err := a.readState(ctx, "/api/v3/subnet/"+subnet.String(), paths)
	if err != nil {
		return nil, err
	}
	root, err := a.root()
	if err != nil {
		return nil, err
	}
	if err := c.VerifyForSubnet(subnet, root, VerifyBLS); err != nil {
		return nil, err
	}
	return c, a.checkAge(c)
}

func (a *Agent) readState(ctx context.Context, path string, paths []hashtree.Path) (*cert.Certificate, error) {
	content := envelope.Content{Type: envelope.ReadState}
	for _, p := range paths {
		content.Paths = append(content.Paths, p)
	}
	raw, _, err := a.seal(&content)
	if err != nil {
		return nil, err
	}
	var out struct {
		Certificate []byte `cbor:"certificate"`
	}
	if _, err := a.roundTrip(ctx, http.MethodPost, path+"/read_state", raw, &out); err != nil {
		return nil, err
	}
	return cert.Decode(out.Certificate)
}

// verify checks a certificate about a canister. With aaaaa-aa as effective
// canister no subnet's ranges apply.
func (a *Agent) verify(c *cert.Certificate, effective ic.CanisterID) error {
	root, err := a.root()
	if err != nil {
		return err
	}
	if effective.Principal == ic.Management {
		err = c.Verify(root, VerifyBLS)
	} else {
		err = c.VerifyFor(effective, root, VerifyBLS)
	}
	if err != nil {
		return err
	}
	return a.checkAge(c)
}

func (a *Agent) checkAge(c *cert.Certificate) error {
	at, err := c.Time()
	if err != nil {
		return err
	}
	if age := a.now().Sub(time.Unix(0, int64(at))); age > certAge || age < -certAge {
		return fmt.Errorf("certificate is %s old: its time must lie within %s of this machine's clock", age.Round(time.Second), certAge)
	}
	return nil
}

// VerifyBLS checks the signature of a certificate: a cert.VerifyBLS.
func VerifyBLS(der, message, sig []byte) error {
	k, err := bls.ParseDER(der)
	if err != nil {
		return err
	}
	return k.Verify(message, sig)
}

// decode is cbor.Unmarshal with the name of the peer in the error.
func (a *Agent) decode(path string, body []byte, into any) error {
	if err := cbor.Unmarshal(body, into); err != nil {
		return fmt.Errorf("answer of %s%s: %w", a.url, path, err)
	}
	return nil
}
