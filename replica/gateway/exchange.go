package gateway

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"unicode/utf8"

	"ashlar/replica/gateway/certified"
	"ashlar/replica/wire/candid"
	"ashlar/replica/wire/cert"
	"ashlar/replica/wire/hashtree"
)

// httpRequest is the argument of http_request; that of http_request_update is the
// same without the version.
type httpRequest struct {
	Method  string             `candid:"method"`
	URL     string             `candid:"url"`
	Headers []certified.Header `candid:"headers"`
	Body    []byte             `candid:"body"`
	Version *uint16            `candid:"certificate_version"`
}

type updateRequest struct {
	Method  string             `candid:"method"`
	URL     string             `candid:"url"`
	Headers []certified.Header `candid:"headers"`
	Body    []byte             `candid:"body"`
}

// httpResponse is the reply, without the streaming strategy (stream.go).
type httpResponse struct {
	Status  uint16             `candid:"status_code"`
	Headers []certified.Header `candid:"headers"`
	Body    []byte             `candid:"body"`
	Upgrade *bool              `candid:"upgrade"`
}

// exchange is one request of a browser and what became of it.
type exchange struct {
	gateway *Gateway
	to      target
	ctx     context.Context
	req     certified.Request
	resp    certified.Response
	updated bool    // resp is the certified reply of a call
	stream  *stream // more of the body, nil if it is whole
	passed  []certified.Header
	begun   bool // something was written to the browser
}

// run gets the response as far as it can be checked before something is written.
func (x *exchange) run(r *http.Request, body []byte) *fault {
	if fault := x.read(r, body); fault != nil {
		return fault
	}
	reply, fault := x.ask()
	if fault != nil {
		return fault
	}
	if fault := x.take(reply); fault != nil {
		return fault
	}
	if x.updated || x.to.raw {
		x.passed = x.resp.Headers
		return nil
	}
	if x.stream != nil { // what is not certified is not passed on
		if fault := x.assemble(); fault != nil {
			return fault
		}
	}
	kept, fault := x.verify(&x.req, &x.resp)
	x.passed = kept
	return fault
}

// read makes the canister's request of the browser's.
func (x *exchange) read(r *http.Request, body []byte) *fault {
	url := r.RequestURI
	if !strings.HasPrefix(url, "/") { // a proxy's form
		url = r.URL.RequestURI()
	}
	x.req = certified.Request{Method: r.Method, URL: url, Body: body, Headers: []certified.Header{{Name: "host", Value: r.Host}}}
	for name, values := range r.Header {
		for _, v := range values {
			x.req.Headers = append(x.req.Headers, certified.Header{Name: strings.ToLower(name), Value: v})
		}
	}
	slices.SortStableFunc(x.req.Headers, func(a, b certified.Header) int { return strings.Compare(a.Name, b.Name) })
	x.req.Headers = slices.DeleteFunc(x.req.Headers, func(h certified.Header) bool { return h.Name == "x-request-id" })
	for i, h := range x.req.Headers {
		if h.Name == "accept-encoding" && !strings.Contains(strings.ToLower(h.Value), "identity") {
			x.req.Headers[i].Value += ", identity"
		}
		if !utf8.ValidString(h.Value) {
			return faultRequest("the header " + h.Name + " is not UTF-8, and a canister only takes text")
		}
	}
	if !utf8.ValidString(url) || !utf8.ValidString(r.Method) {
		return faultRequest("the URL is not UTF-8, and a canister only takes text")
	}
	return nil
}

// ask queries the canister and, if it says so, calls it.
func (x *exchange) ask() ([]byte, *fault) {
	q := &x.req
	version := uint16(2)
	arg := candid.Marshal(httpRequest{q.Method, q.URL, q.Headers, q.Body, &version})
	reply, err := x.gateway.cfg.Canisters.Query(x.ctx, x.to.canister, "http_request", arg)
	if err != nil {
		return nil, x.faultOf("http_request", err)
	}
	var first httpResponse
	if err := candid.Unmarshal(reply, &first); err != nil {
		return nil, faultAnswer("the reply of http_request has another type: " + err.Error())
	}
	if first.Upgrade == nil || !*first.Upgrade {
		return reply, nil
	}
	x.updated = true
	arg = candid.Marshal(updateRequest{q.Method, q.URL, q.Headers, q.Body})
	if reply, err = x.gateway.cfg.Canisters.Call(x.ctx, x.to.canister, "http_request_update", arg); err != nil {
		return nil, x.faultOf("http_request_update", err)
	}
	return reply, nil
}

// take reads a reply.
func (x *exchange) take(reply []byte) *fault {
	var got httpResponse
	if err := candid.Unmarshal(reply, &got); err != nil {
		return faultAnswer("the reply has another type: " + err.Error())
	}
	x.resp = certified.Response{Status: got.Status, Headers: got.Headers, Body: got.Body}
	if err := checkResponse(&x.resp); err != nil {
		return faultAnswer(err.Error())
	}
	s, err := strategyOf(reply)
	if err != nil {
		return faultAnswer("streaming_strategy: " + err.Error())
	}
	if s != nil && s.callback.Service != x.to.canister.Principal {
		return faultAnswer("the streaming callback is of another canister, " + s.callback.Service.String())
	}
	x.stream = s
	return nil
}

// verify checks a response and returns the headers that may be passed on.
func (x *exchange) verify(req *certified.Request, resp *certified.Response) ([]certified.Header, *fault) {
	result, err := certified.Verify(x.to.canister, req, resp, x.gateway.trust())
	if err != nil {
		return nil, faultVerification(err)
	}
	if result.Version == 1 {
		if err := x.checkDowngrade(); err != nil {
			return nil, faultVerification(err)
		}
	}
	return result.Headers, nil
}

// checkDowngrade is "Response Verification Version Assertion": a canister whose
// metadata promise version 2 has not answered with version 1.
func (x *exchange) checkDowngrade() error {
	const section = "supported_certificate_versions"
	id := string(x.to.canister.Principal)
	path := hashtree.P("canister", id, "metadata", section)
	c, err := x.gateway.cfg.Canisters.ReadState(x.ctx, x.to.canister, path)
	if err != nil {
		return fmt.Errorf("the canister answers by version 1, and whether it promises version 2 cannot be read: %w", err)
	}
	return downgraded(c, path)
}

func downgraded(c *cert.Certificate, path hashtree.Path) error {
	value, status := c.Tree.Lookup(path)
	switch status {
	case hashtree.Absent:
		return nil
	case hashtree.Found:
		for v := range strings.SplitSeq(string(value), ",") {
			if strings.TrimSpace(v) == "2" {
				return errors.New("the answer is certified by version 1, but the canister promises version 2: a node may have chosen the weaker")
			}
		}
		return nil
	}
	return fmt.Errorf("the canister answers by version 1, and its promised versions are %s in the certificate", status)
}
