// Package certifiedtest is a canister that certifies its HTTP responses, for tests.
//
//	site.Put(path, expression, request, response)   into the tree
//	site.Sign(url, path, response)                  response + IC-Certificate, as a browser gets it
//
// It computes hashes on its own, by the text of the specification. Tests only.
package certifiedtest

import (
	"crypto/sha256"
	"encoding/base64"
	"strings"

	"ashlar/replica/crypto/bls"
	"ashlar/replica/gateway/certified"
	"ashlar/replica/ic"
	"ashlar/replica/wire/cbor"
	"ashlar/replica/wire/cert"
	"ashlar/replica/wire/hashtree"
	"ashlar/replica/wire/reprhash"
)

// Expressions of the three kinds. Those that certify cover Content-Type, Location
// and Content-Range of the response; Full covers Accept and the parameter q of the request.
const (
	None  = `default_certification(ValidationArgs{no_certification:Empty{}})`
	Reply = `default_certification(ValidationArgs{certification:Certification{no_request_certification:Empty{},response_certification:ResponseCertification{certified_response_headers:ResponseHeaderList{headers:["Content-Type","Location","Content-Range"]}}}})`
	Full  = `default_certification(ValidationArgs{certification:Certification{request_certification:RequestCertification{certified_request_headers:["accept"],certified_query_parameters:["q"]},response_certification:ResponseCertification{certified_response_headers:ResponseHeaderList{headers:["Content-Type","Location","Content-Range"]}}}})`
)

// Site is the canister. Set the fields before use.
type Site struct {
	Canister ic.CanisterID
	Now      ic.Time
	Key      *bls.SecretKey // of the subnet that signs
	// Delegation is nil on the root subnet.
	Delegation *cert.Delegation
	top        dir
}

// New makes a site on a root subnet with a fresh key.
func New(canister ic.CanisterID, now ic.Time) *Site {
	key, err := bls.GenerateKey(nil)
	if err != nil {
		panic(err)
	}
	return &Site{Canister: canister, Now: now, Key: key, top: dir{}}
}

// dir is a directory of the tree; what is no dir is a leaf.
type dir map[string]any

func (d dir) tree() *hashtree.Tree {
	var entries []hashtree.Entry
	for label, x := range d {
		switch x := x.(type) {
		case dir:
			entries = append(entries, hashtree.Entry{Label: label, Tree: x.tree()})
		case string:
			entries = append(entries, hashtree.Entry{Label: label, Tree: hashtree.NewLeaf([]byte(x))})
		}
	}
	return hashtree.Dir(entries)
}

func (d dir) put(value string, path ...string) {
	for _, label := range path[:len(path)-1] {
		if d[label] == nil {
			d[label] = dir{}
		}
		d = d[label].(dir)
	}
	d[path[len(path)-1]] = value
}

// Path is an expr_path: Path("a/b/<$>").
func Path(text string) []string { return append([]string{"http_expr"}, strings.Split(text, "/")...) }

// Put certifies a response at a path; its expression is one of the three, its
// request is only looked at by Full. It returns the response with the expression.
func (s *Site) Put(path []string, expression string, req certified.Request, resp certified.Response) certified.Response {
	resp.Headers = append([]certified.Header{{Name: "IC-CertificateExpression", Value: expression}}, resp.Headers...)
	at := append(path[:len(path):len(path)], sum(expression))
	switch expression {
	case None:
		s.top.put("", append(at, "")...)
		return resp
	case Full:
		at = append(at, requestHash(req))
	default:
		at = append(at, "")
	}
	s.top.put("", append(at, responseHash(resp))...)
	return resp
}

// PutLegacy certifies a body by version 1.
func (s *Site) PutLegacy(path string, body []byte) { s.top.put(sum(string(body)), "http_assets", path) }

// Sign adds the certificate of version 2, whose tree proves path and that no more
// specific one of the URL's exists.
func (s *Site) Sign(segments, path []string, resp certified.Response) certified.Response {
	shown := []hashtree.Path{labels(path), labels(append(Path(strings.Join(segments, "/")), "<$>"))}
	for i := range len(segments) + 1 {
		shown = append(shown, labels(append(append([]string{"http_expr"}, segments[:i]...), "<*>")),
			labels(append(append([]string{"http_expr"}, segments[:i]...), "", "<*>")))
	}
	return with(resp, s.Certificate(), s.top.tree().Witness(shown), ", version=2, expr_path=:"+encode(cbor.Marshal(path))+":")
}

// SignLegacy adds the certificate of version 1.
func (s *Site) SignLegacy(path string, resp certified.Response) certified.Response {
	shown := []hashtree.Path{hashtree.P("http_assets", path), hashtree.P("http_assets", "/index.html")}
	return with(resp, s.Certificate(), s.top.tree().Witness(shown), "")
}

func with(resp certified.Response, c *cert.Certificate, tree *hashtree.Tree, more string) certified.Response {
	value := "certificate=:" + encode(c.Encode()) + ":, tree=:" + encode(cbor.Marshal(tree)) + ":" + more
	resp.Headers = append(resp.Headers[:len(resp.Headers):len(resp.Headers)], certified.Header{Name: "IC-Certificate", Value: value})
	return resp
}

// Certificate shows the canister's certified data and the time.
func (s *Site) Certificate() *cert.Certificate {
	digest := s.top.tree().Digest()
	tree := dir{"time": string(cert.AppendNatural(nil, uint64(s.Now))),
		"canister": dir{string(s.Canister.Principal): dir{"certified_data": string(digest[:])}}}.tree()
	return &cert.Certificate{Tree: tree, Signature: s.Key.Sign(cert.StateRoot(tree.Digest())), Delegation: s.Delegation}
}

// Delegate puts the site on a subnet of its own below root, with these canisters.
func (s *Site) Delegate(root *bls.SecretKey, first, last ic.CanisterID) {
	id := string(ic.SelfAuthenticating(s.Key.PublicKey().DER()))
	tree := dir{"time": string(cert.AppendNatural(nil, uint64(s.Now))), "subnet": dir{id: dir{"public_key": string(s.Key.PublicKey().DER()),
		"canister_ranges": string(cert.EncodeRanges([]ic.CanisterRange{{First: first, Last: last}}))}}}.tree()
	c := &cert.Certificate{Tree: tree, Signature: root.Sign(cert.StateRoot(tree.Digest()))}
	s.Delegation = &cert.Delegation{SubnetID: []byte(id), Certificate: c.Encode()}
}

func encode(b []byte) string { return base64.StdEncoding.EncodeToString(b) }

func labels(path []string) hashtree.Path { return hashtree.P(path...) }

func sum(s string) string { d := sha256.Sum256([]byte(s)); return string(d[:]) }

func requestHash(req certified.Request) string {
	var m reprhash.Map
	m.Text(":ic-cert-method", req.Method)
	if _, q, ok := strings.Cut(req.URL, "?q="); ok {
		m.Text(":ic-cert-query", "q="+q)
	}
	for _, h := range req.Headers {
		if strings.EqualFold(h.Name, "accept") {
			m.Text("accept", h.Value)
		}
	}
	d := m.Sum()
	return sum(string(d[:]) + sum(string(req.Body)))
}

func responseHash(resp certified.Response) string {
	var m reprhash.Map
	m.Nat(":ic-cert-status", uint64(resp.Status))
	for _, h := range resp.Headers {
		switch name := strings.ToLower(h.Name); name {
		case "ic-certificateexpression", "content-type", "location", "content-range":
			m.Text(name, h.Value)
		}
	}
	d := m.Sum()
	return sum(string(d[:]) + sum(string(resp.Body)))
}
