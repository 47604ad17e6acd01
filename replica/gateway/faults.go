package gateway

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"

	"ashlar/replica/agent"
	"ashlar/replica/api/body"
	"ashlar/replica/ic"
)

// The faults, one by one. Statuses and causes are ic-gateway's, so that what
// watches a site there works here.

func (g *Gateway) faultNoCanister(r *http.Request) *fault {
	f := &fault{status: http.StatusBadRequest, cause: "canister_id_not_resolved", title: "Which canister?",
		what: "The address " + r.Host + " names no canister.",
		todo: []string{"Put the canister's id before the host: http://<canister-id>." + g.cfg.Domains[0] + "/", "Or add it to the address: ?canisterId=<canister-id>"}}
	if !g.isBase(r.Host) {
		f.cause, f.title = "client_unknown_domain", "Unknown domain"
		f.what = "This gateway serves canisters below " + strings.Join(g.cfg.Domains, ", ") + ", not at " + r.Host + "."
	}
	return f
}

func faultBadCanister(id string, err error) *fault {
	return &fault{status: http.StatusBadRequest, cause: "canister_id_incorrect", title: "This is no canister id",
		what: strconv.Quote(id) + " is not the id of a canister.",
		todo: []string{"An id looks like bkyz2-fmaaa-aaaaa-qaaaq-cai: check that all of it is there.", "icp canister list shows those of a project."}, detail: err.Error()}
}

func faultBusy() *fault {
	return &fault{status: http.StatusTooManyRequests, cause: "load_shed", title: "Too many requests", retry: true,
		what: "More requests are under way than this gateway takes at once.", todo: []string{"Try again in a moment."}}
}

func faultTooLarge() *fault {
	return &fault{status: http.StatusRequestEntityTooLarge, cause: "client_body_too_large", title: "The request is too large",
		what: fmt.Sprintf("A canister takes requests of up to %d MiB, and of up to %d MiB where it has to write something.", requestBytes>>20, callBytes>>20), todo: []string{"Send it in pieces."}}
}

// faultBody is a body that did not come as it should.
func faultBody(err error) *fault {
	var large *http.MaxBytesError
	switch {
	case errors.As(err, &large):
		return faultTooLarge()
	case errors.Is(err, body.ErrBusy):
		return faultBusy()
	}
	return faultRequest("the body could not be read: " + err.Error())
}

func faultRequest(detail string) *fault {
	return &fault{status: http.StatusBadRequest, cause: "client_malformed_request", title: "The request cannot be passed on",
		what: "Something in it does not fit into a message to a canister.", detail: detail}
}

// faultAnswer is a reply that is not one of the HTTP interface.
func faultAnswer(detail string) *fault {
	return &fault{status: http.StatusServiceUnavailable, cause: "backend_http_gateway", title: "The canister's answer cannot be shown",
		what: "It is not what the HTTP gateway protocol allows.", todo: []string{"If the canister is yours: mend its http_request."}, detail: detail}
}

func faultVerification(err error) *fault {
	return &fault{status: http.StatusServiceUnavailable, cause: "backend_response_verification", title: "Response verification failed", raw: true,
		what:   "What the node sent is not what the canister certified, so it is not shown. Either the canister does not certify this response, or somebody changed it on its way.",
		todo:   []string{"If the canister is yours: certify the response, answer through http_request_update, or certify that nothing is certified.", "Reload: a certificate may have been too old."},
		detail: "Response verification failed: " + err.Error()}
}

func faultLong() *fault {
	return &fault{status: http.StatusServiceUnavailable, cause: "backend_http_gateway", title: "The file is too large to be verified", raw: true,
		what: "It is certified as a whole and streamed in chunks; the gateway verifies bodies of up to " + strconv.Itoa(assembledBytes>>20) + " MiB in this way.",
		todo: []string{"If the canister is yours: certify ranges of the file (status 206), which are verified and passed on one by one."}}
}

// faultOf explains why a method gave no answer.
func (x *exchange) faultOf(method string, err error) *fault {
	var rejected *agent.Rejected
	var refused *agent.HTTPError
	f := &fault{status: http.StatusServiceUnavailable, cause: "backend_http_gateway", title: "The canister cannot be reached", retry: true,
		what: "The network gave no answer.", todo: []string{"Try again in a moment."}, detail: err.Error()}
	switch {
	case errors.As(err, &rejected):
		f.reject(method, rejected)
	case errors.As(err, &refused):
		f.refuse(refused)
	case errors.Is(err, context.DeadlineExceeded), errors.Is(context.Cause(x.ctx), context.DeadlineExceeded):
		f.status, f.cause, f.title = http.StatusGatewayTimeout, "backend_timeout", "The canister takes too long"
		f.what = method + " has not answered within " + requestTime.String() + "."
	}
	return f
}

// reject is the network's or the canister's no.
func (f *fault) reject(method string, r *agent.Rejected) {
	f.cause, f.retry = "canister_error", false
	f.title, f.what, f.todo = "The canister failed", method+" ended with an error.", []string{"If the canister is yours: its logs say more, icp canister logs <name>."}
	switch {
	case r.ErrorCode == ic.CanisterMethodNotFound.String():
		f.title, f.what = "This canister serves no web pages", "It has no method "+method+"."
		f.todo = []string{"If it is the back end of an app: open the front end's canister instead."}
	case r.ErrorCode == ic.CanisterWasmModuleNotFound.String():
		f.title, f.what, f.todo = "The canister is empty", "No code is installed in it.", []string{"If the canister is yours: icp deploy"}
	case r.Class == ic.DestinationInvalid:
		f.status, f.cause = http.StatusNotFound, "canister_not_found"
		f.title, f.what = "Canister not found", "No canister has this id on this network."
		f.todo = []string{"Check the id: icp canister list", "A network that was started anew has lost its canisters: icp deploy"}
	case r.Class == ic.CanisterReject:
		f.cause, f.title, f.what = "canister_reject", "The canister refused the request", method+" was rejected."
	case r.Class == ic.SysTransient && strings.Contains(r.Message, "frozen"), r.ErrorCode == ic.CanisterOutOfCycles.String():
		f.cause, f.title, f.what = "canister_frozen", "The canister is out of cycles", "It does not run until it has cycles again."
		f.todo = []string{"If the canister is yours: icp canister top-up <name> --amount 1t"}
	case r.ErrorCode == ic.CanisterStopped.String(), r.ErrorCode == ic.CanisterStopping.String():
		f.title, f.what, f.todo = "The canister is stopped", "Its controller has stopped it.", []string{"If the canister is yours: icp canister start <name>"}
	case r.Class == ic.SysTransient:
		f.cause, f.retry = "backend_other", true
		f.title, f.what, f.todo = "The network cannot answer now", "It is busy, or lacks something for a moment.", []string{"Try again in a moment."}
	}
}

// refuse is a status of the node's API.
func (f *fault) refuse(e *agent.HTTPError) {
	switch {
	case e.Status == http.StatusTooManyRequests:
		*f = *faultBusy()
	case e.Status == http.StatusRequestEntityTooLarge:
		*f = *faultTooLarge()
	case e.Status == http.StatusBadRequest && strings.Contains(e.Text, "does not belong"):
		f.status, f.cause, f.retry = http.StatusNotFound, "canister_route_not_found", false
		f.title, f.what = "Canister not found", "The id belongs to no subnet of this network."
		f.todo = []string{"Check the id: icp canister list", "It may be of another network, such as mainnet."}
	}
	f.detail = e.Text
}
