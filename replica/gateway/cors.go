package gateway

import (
	"net/http"
	"strings"

	"ashlar/replica/gateway/certified"
)

// What pages of other origins may do with a canister's answers, if it does not
// say so itself: a canister knows no cookies of the gateway's.
const (
	allowMethods = "HEAD, GET, POST, PUT, DELETE, PATCH, OPTIONS"
	allowHeaders = "User-Agent, DNT, If-None-Match, If-Modified-Since, Cache-Control, Content-Type, Range, Cookie, X-Requested-With, X-Ic-Canister-Id"
	expose       = "Accept-Ranges, Content-Length, Content-Range, X-Request-Id, X-Ic-Canister-Id"
	vary         = "Origin, Access-Control-Request-Method, Access-Control-Request-Headers"
	maxAge       = "7200" // seconds: the most that browsers accept
)

// share adds to an answer what the canister does not say itself.
func share(h http.Header, r *http.Request) {
	add := func(name, v string) {
		if h.Get(name) == "" {
			h.Set(name, v)
		}
	}
	add("Access-Control-Allow-Origin", "*")
	add("Vary", vary)
	if r.Method != http.MethodOptions {
		add("Access-Control-Expose-Headers", expose)
		return
	}
	add("Access-Control-Allow-Methods", allowMethods)
	add("Access-Control-Allow-Headers", allowHeaders)
	add("Access-Control-Max-Age", maxAge)
}

// preflight is the gateway's own answer to OPTIONS.
func preflight(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	share(h, r)
	if r.Header.Get("Access-Control-Request-Private-Network") == "true" {
		h.Set("Access-Control-Allow-Private-Network", "true")
	}
	w.WriteHeader(http.StatusNoContent)
}

// allowsOrigin tells whether a canister's answer to OPTIONS is one to a preflight.
func allowsOrigin(resp certified.Response, headers []certified.Header) bool {
	if resp.Status < 200 || resp.Status > 299 || len(resp.Body) > 0 {
		return false
	}
	for _, h := range headers {
		if strings.HasPrefix(strings.ToLower(h.Name), "access-control-") {
			return true
		}
	}
	return false
}
