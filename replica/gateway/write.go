package gateway

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"ashlar/replica/gateway/certified"
)

// checkResponse refuses what is no HTTP: a line break in a header would be
// another header, or another response.
func checkResponse(resp *certified.Response) error {
	if resp.Status < 200 || resp.Status > 599 {
		return fmt.Errorf("status_code %d is no status of a response", resp.Status)
	}
	size := 0
	for _, h := range resp.Headers {
		if !isToken(h.Name) {
			return fmt.Errorf("%.40q is no name of a header", h.Name)
		}
		if strings.ContainsFunc(h.Value, func(r rune) bool { return r < ' ' && r != '\t' || r == 0x7f }) {
			return fmt.Errorf("the value of the header %s has control characters", h.Name)
		}
		size += len(h.Name) + len(h.Value)
	}
	if len(resp.Headers) > maxHeaders || size > headersBytes {
		return fmt.Errorf("%d headers of %d bytes: the limits are %d and %d", len(resp.Headers), size, maxHeaders, headersBytes)
	}
	return nil
}

func isToken(s string) bool {
	return s != "" && !strings.ContainsFunc(s, func(r rune) bool {
		return r <= ' ' || r >= 0x7f || strings.ContainsRune(`"(),/:;<=>?@[\]{}`, r)
	})
}

// hop are the headers of one connection: the gateway's are its own. A body's
// length is what it is.
var hop = map[string]bool{"connection": true, "keep-alive": true, "proxy-authenticate": true, "proxy-connection": true, "te": true,
	"trailer": true, "transfer-encoding": true, "upgrade": true, "content-length": true}

// write passes the response on.
func (x *exchange) write(w http.ResponseWriter, r *http.Request) *fault {
	if r.Method == http.MethodOptions && !allowsOrigin(x.resp, x.passed) {
		preflight(w, r)
		return nil
	}
	parts := x.ranges(r)
	if parts != nil {
		if fault := parts.start(&x.resp); fault != nil {
			return fault
		}
	}
	head := w.Header()
	head["Content-Type"] = nil // else net/http guesses one from the body
	for _, h := range x.passed {
		name := strings.ToLower(h.Name)
		if hop[name] || parts != nil && name == "content-range" {
			continue
		}
		if key := http.CanonicalHeaderKey(name); key == "Content-Type" {
			head[key] = []string{h.Value}
		} else {
			head[key] = append(head[key], h.Value)
		}
	}
	head.Set("X-Ic-Canister-Id", x.to.canister.String())
	share(head, r)
	status := int(x.resp.Status)
	switch {
	case parts != nil:
		status = http.StatusOK
		head.Set("Content-Length", strconv.FormatUint(parts.total, 10))
	case r.Method == http.MethodHead && len(x.resp.Body) == 0:
		for _, h := range x.passed {
			if strings.EqualFold(h.Name, "Content-Length") {
				head.Set("Content-Length", h.Value)
			}
		}
	case x.stream == nil && status != http.StatusNoContent && status != http.StatusNotModified:
		head.Set("Content-Length", strconv.Itoa(len(x.resp.Body)))
	}
	x.begun = true
	w.WriteHeader(status)
	if r.Method == http.MethodHead || status == http.StatusNoContent || status == http.StatusNotModified {
		return nil
	}
	return x.body(w, parts)
}

// body writes what is there and gets the rest.
func (x *exchange) body(w http.ResponseWriter, parts *parts) *fault {
	control := http.NewResponseController(w)
	// A node that stops does not wait for a browser that reads slowly.
	defer context.AfterFunc(x.ctx, func() { _ = control.SetWriteDeadline(time.Unix(1, 0)) })()
	chunk := x.resp.Body
	for more := x.stream != nil || parts != nil && parts.have < parts.total; ; {
		_ = control.SetWriteDeadline(time.Now().Add(chunkTime)) // not all writers have one
		if x.ctx.Err() != nil {
			return &fault{detail: "the node stops"}
		}
		if _, err := w.Write(chunk); err != nil {
			return &fault{detail: "the browser is gone: " + err.Error()}
		}
		if !more {
			return nil
		}
		_ = control.Flush()
		var fault *fault
		if chunk, more, fault = x.more(parts); fault != nil {
			return fault
		}
	}
}

// more gets the next chunk, of either kind.
func (x *exchange) more(parts *parts) (chunk []byte, more bool, fault *fault) {
	ctx, cancel := context.WithTimeout(x.ctx, chunkTime)
	defer cancel()
	if parts != nil {
		return x.part(ctx, parts)
	}
	return x.next(ctx)
}

var errHead = errors.New("it has no Content-Range of the form bytes FIRST-LAST/TOTAL")
