package gateway

import (
	"context"
	"fmt"
	"net/http"
	"strconv"
	"strings"

	"ashlar/replica/gateway/certified"
	"ashlar/replica/wire/candid"
)

// parts is a body that the canister gives in ranges, each certified by itself,
// although the browser asked for the whole: status 206 to a request without Range.
type parts struct {
	have, total uint64
	etag        string
}

// ranges tells whether the response is the first of such.
func (x *exchange) ranges(r *http.Request) *parts {
	if x.resp.Status != http.StatusPartialContent || x.updated || r.Header.Get("Range") != "" || r.Header.Get("If-Range") != "" {
		return nil
	}
	return &parts{}
}

// start reads the first range.
func (p *parts) start(resp *certified.Response) *fault {
	first, last, total, err := contentRange(resp.Headers)
	if err != nil {
		return faultAnswer("status 206: " + err.Error())
	}
	if first != 0 || last-first+1 != uint64(len(resp.Body)) {
		return faultAnswer(fmt.Sprintf("status 206: range %d-%d with %d bytes, to a request for the whole", first, last, len(resp.Body)))
	}
	*p = parts{have: last + 1, total: total, etag: value(resp.Headers, "ETag")}
	return nil
}

// part asks for the range that begins where the body ends, and checks it.
func (x *exchange) part(ctx context.Context, p *parts) (chunk []byte, more bool, fault *fault) {
	req := x.req
	req.Headers = append(req.Headers[:len(req.Headers):len(req.Headers)], certified.Header{Name: "range", Value: fmt.Sprintf("bytes=%d-", p.have)})
	version := uint16(2)
	reply, err := x.gateway.cfg.Canisters.Query(ctx, x.to.canister, "http_request", candid.Marshal(httpRequest{req.Method, req.URL, req.Headers, req.Body, &version}))
	if err != nil {
		return nil, false, x.faultOf("http_request", err)
	}
	var got httpResponse
	if err := candid.Unmarshal(reply, &got); err != nil {
		return nil, false, faultAnswer("a range's reply has another type: " + err.Error())
	}
	resp := certified.Response{Status: got.Status, Headers: got.Headers, Body: got.Body}
	first, last, total, err := contentRange(resp.Headers)
	switch {
	case resp.Status != http.StatusPartialContent || err != nil:
		return nil, false, faultAnswer(fmt.Sprintf("the range after byte %d: status %d, %v", p.have, resp.Status, err))
	case first > p.have || last < p.have || total != p.total || last-first+1 != uint64(len(resp.Body)):
		return nil, false, faultAnswer(fmt.Sprintf("the range after byte %d of %d is %d-%d of %d, with %d bytes", p.have, p.total, first, last, total, len(resp.Body)))
	case value(resp.Headers, "ETag") != p.etag:
		return nil, false, faultAnswer("the asset changed while it was read: its ETag is another")
	}
	if !x.to.raw {
		if _, fault := x.verify(&req, &resp); fault != nil {
			return nil, false, fault
		}
	}
	chunk = resp.Body[p.have-first:]
	p.have = last + 1
	return chunk, p.have < p.total, nil
}

func value(headers []certified.Header, name string) string {
	for _, h := range headers {
		if strings.EqualFold(h.Name, name) {
			return h.Value
		}
	}
	return ""
}

// contentRange reads "bytes 0-99/200".
func contentRange(headers []certified.Header) (first, last, total uint64, err error) {
	text, ok := strings.CutPrefix(strings.TrimSpace(value(headers, "Content-Range")), "bytes ")
	span, size, ok2 := strings.Cut(text, "/")
	from, to, ok3 := strings.Cut(span, "-")
	if !ok || !ok2 || !ok3 {
		return 0, 0, 0, errHead
	}
	for _, n := range []struct {
		text string
		into *uint64
	}{{from, &first}, {to, &last}, {size, &total}} {
		if *n.into, err = strconv.ParseUint(n.text, 10, 62); err != nil {
			return 0, 0, 0, errHead
		}
	}
	if first > last || last >= total {
		return 0, 0, 0, errHead
	}
	return first, last, total, nil
}
