// Package certified decides whether a canister's HTTP response is what its
// subnet certified: response verification, versions 1 and 2.
//
//	IC-Certificate ─┬─ certificate ── signed by the root key ──/canister/<id>/certified_data──┐
//	                ├─ tree ──────────── digest ─────────────────── equal ────────────────────┘
//	                └─ expr_path ─ most specific for the URL ─> /<hash of IC-CertificateExpression>/<request hash>/<response hash>
//
// Verify is the whole of it. The caller brings time, root key and the BLS check,
// passes on only what the Result holds, and asks the canister's metadata about
// version 1 (see Result.Version). Whatever does not hold is an error that names
// the rule. Specification: http-gateway-spec.md, "Response Verification"; where
// it is silent, what browsers' gateways do (dfinity/response-verification).
package certified

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"ashlar/replica/ic"
	"ashlar/replica/wire/cert"
	"ashlar/replica/wire/hashtree"
)

// MaxAge is how far a certificate's time may lie from ours, before and after.
const MaxAge = 5 * time.Minute

// Header is a field of a request or response, in the form of the Candid interface.
type Header struct {
	Name  string `candid:"0"`
	Value string `candid:"1"`
}

// Request is what the canister was asked.
type Request struct {
	Method  string
	URL     string // path and query
	Headers []Header
	Body    []byte
}

// Response is what it answered; Body is whole, with all that was streamed.
type Response struct {
	Status  uint16
	Headers []Header
	Body    []byte
}

// Trust is what a certificate is checked against.
type Trust struct {
	RootKey []byte // in DER
	BLS     cert.VerifyBLS
	Now     ic.Time
}

// Result is what may be passed on to a browser.
type Result struct {
	// Version of the response verification. After 1 the caller makes sure that the
	// canister's metadata does not promise 2: the node may have chosen the weaker.
	Version int
	// Headers that are certified; all of them where the canister certified that
	// nothing is.
	Headers []Header
}

// Verify checks a response that a node gave for a canister.
func Verify(canister ic.CanisterID, req *Request, resp *Response, t Trust) (*Result, error) {
	value, err := one(resp.Headers, certificateName)
	if err != nil {
		return nil, err
	}
	h, err := parseHeader(value)
	if err != nil {
		return nil, err
	}
	if err := h.check(canister, t); err != nil {
		return nil, err
	}
	if h.version == 1 {
		return legacy(h.tree, req, resp)
	}
	return current(h, req, resp)
}

const (
	certificateName = "IC-Certificate"
	expressionName  = "IC-CertificateExpression"
)

// one finds a header that must be there once: of two, others might read the other.
func one(headers []Header, name string) (string, error) {
	value, n := "", 0
	for _, h := range headers {
		if strings.EqualFold(h.Name, name) {
			value, n = h.Value, n+1
		}
	}
	switch n {
	case 0:
		return "", fmt.Errorf("the response has no header %s: the canister does not certify it", name)
	case 1:
		return value, nil
	}
	return "", fmt.Errorf("the response has %d headers %s, where one belongs", n, name)
}

// check is "Certificate Validation": what is cheap comes first.
func (h *header) check(canister ic.CanisterID, t Trust) error {
	data, status := h.certificate.Tree.Lookup(hashtree.P("canister", string(canister.Principal), "certified_data"))
	if status != hashtree.Found {
		return fmt.Errorf("the certificate does not tell the certified data of canister %s: they are %s in it", canister, status)
	}
	if digest := h.tree.Digest(); string(data) != string(digest[:]) {
		return fmt.Errorf("the tree is not the one that the canister certified: its digest is %x, the certified data are %x", digest, data)
	}
	at, err := h.certificate.Time()
	if err != nil {
		return err
	}
	if age := time.Duration(t.Now) - time.Duration(at); age > MaxAge || age < -MaxAge {
		return fmt.Errorf("the certificate is %s old: its time must lie within %s of the gateway's clock", age.Round(time.Second), MaxAge)
	}
	return h.certificate.VerifyFor(canister, t.RootKey, t.BLS)
}

var errLeaf = errors.New("what lies at the response's hash is not an empty leaf")

// current is version 2: the expression says which parts of request and response count.
func current(h *header, req *Request, resp *Response) (*Result, error) {
	text, err := one(resp.Headers, expressionName)
	if err != nil {
		return nil, err
	}
	expr, err := parseExpression(text)
	if err != nil {
		return nil, err
	}
	if err := checkPath(h.path, req.URL, h.tree); err != nil {
		return nil, err
	}
	digest := hash([]byte(text))
	sub, status := h.tree.Subtree(append(labels(h.path), digest[:]))
	if status != hashtree.Found {
		return nil, fmt.Errorf("the expression is not the one certified for %v: its hash is %s in the tree", h.path, status)
	}
	if expr.none {
		return &Result{2, resp.Headers}, nil
	}
	kept := expr.certified(resp.Headers)
	var request []byte
	if expr.request != nil {
		d := expr.request.hash(req)
		request = d[:]
	}
	response := responseHash(resp.Status, kept, resp.Body)
	leaf, status := sub.Subtree(hashtree.Path{request, response[:]})
	if status != hashtree.Found {
		return nil, fmt.Errorf("this request and response are not certified at %v: the hashes %x, %x are %s in the tree", h.path, request, response, status)
	}
	if leaf.Kind() != hashtree.Leaf || len(leaf.Data()) > 0 {
		return nil, errLeaf
	}
	for _, f := range resp.Headers { // a browser's own verifier wants it, and it is not part of its own hash
		if strings.EqualFold(f.Name, certificateName) {
			kept = append(kept, f)
		}
	}
	return &Result{2, kept}, nil
}

func labels(path []string) hashtree.Path {
	out := make(hashtree.Path, len(path), len(path)+1)
	for i, s := range path {
		out[i] = []byte(s)
	}
	return out
}
