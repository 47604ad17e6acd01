package api

import (
	"net/http"
	"unicode/utf8"

	"ashlar/replica/ic"
	"ashlar/replica/wire/cert"
	"ashlar/replica/wire/envelope"
	"ashlar/replica/wire/hashtree"
)

// readState answers POST .../read_state with a certificate.
func (s *Server) readState(sc scope) handler {
	return func(w http.ResponseWriter, r *http.Request) error {
		state, err := s.ready()
		if err != nil {
			return err
		}
		url, err := s.target(r, sc)
		if err != nil {
			return err
		}
		e, targets, err := s.request(r, envelope.ReadState, int(s.limits.BodyBytes))
		if err != nil {
			return err
		}
		p := &reading{scope: sc, url: url, sender: e.Sender(), targets: targets, state: state, own: s.node.SubnetID().Principal, rootKey: s.node.RootKey()}
		for _, path := range e.Content.Paths {
			if err := p.request(path); err != nil {
				return err
			}
		}
		return writeCBOR(w, struct {
			Certificate []byte `cbor:"certificate"`
		}{certify(state, p.show, sc.shards).Encode()})
	}
}

// reading collects what a read_state request may see. The rules are those of
// "Request: Read state"; each path is checked whole, whatever the state holds.
type reading struct {
	scope
	url, sender ic.Principal
	targets     envelope.Targets
	state       *Certified
	own         ic.Principal // this node's subnet
	rootKey     []byte
	show        []hashtree.Path
	status      []byte // the one request id of all /request_status paths
	ranges      []byte // the one subnet of all /canister_ranges paths
}

var errPath = notFound("Invalid path requested.")

// request checks a path and adds what it reveals.
func (p *reading) request(path hashtree.Path) error {
	if len(path) == 0 {
		return errPath
	}
	rest := path[1:]
	switch string(path[0]) {
	case "time":
		if len(rest) > 0 {
			return errPath
		}
	case "api_boundary_nodes":
		if len(rest) > 2 || len(rest) == 2 && !oneOf(rest[1], "domain", "ipv4_address", "ipv6_address") {
			return errPath
		}
	case "canister_ranges":
		if err := p.checkRanges(rest); err != nil {
			return err
		}
	case "request_status":
		if err := p.checkStatus(rest); err != nil {
			return err
		}
	case "canister":
		if err := p.checkCanister(rest); err != nil {
			return err
		}
	case "subnet":
		return p.requestSubnet(path)
	default:
		return errPath
	}
	p.show = append(p.show, path)
	return nil
}

func oneOf(label []byte, names ...string) bool {
	for _, n := range names {
		if string(label) == n {
			return true
		}
	}
	return false
}

func (p *reading) checkRanges(rest hashtree.Path) error {
	if !p.subnet || len(rest) != 1 {
		return errPath
	}
	if p.ranges != nil && string(p.ranges) != string(rest[0]) {
		return badRequest("Canister ranges of more than one subnet are requested")
	}
	p.ranges = rest[0]
	return nil
}

func (p *reading) checkStatus(rest hashtree.Path) error {
	if len(rest) == 0 || len(rest) > 2 || len(rest) == 2 && !oneOf(rest[1], "status", "reply", "reject_code", "reject_message", "error_code") {
		return errPath
	}
	if len(rest[0]) != len(ic.RequestID{}) {
		return badRequest("Invalid request id in paths. Maybe the request ID is not of %d bytes in length?!", len(ic.RequestID{}))
	}
	if p.status != nil && string(p.status) != string(rest[0]) {
		return badRequest("More than one non-unique request ID exists in request_status paths: 0x%x and 0x%x.", p.status, rest[0])
	}
	if p.status != nil {
		return nil
	}
	p.status = rest[0]
	return p.mayPoll(ic.RequestID(rest[0]))
}

// mayPoll: only who sent a request sees its status, with the URL of the call.
func (p *reading) mayPoll(id ic.RequestID) error {
	if _, s := p.state.Tree.Subtree(hashtree.P("request_status", string(id[:]))); s == hashtree.Absent {
		return nil
	}
	if p.state.Request == nil {
		return forbidden("This node does not show the status of requests")
	}
	r, found := p.state.Request(id)
	switch {
	case !found || r.Sender != p.sender:
		return forbidden("The user tries to access Request ID not signed by the caller.")
	case !p.targets.Allow(r.Callee.Principal):
		return forbidden("The user tries to access request IDs for canisters not belonging to sender delegation targets.")
	case r.Effective.Principal != ic.Management && r.Effective.Principal != p.url:
		return forbidden("The request was sent with the effective id %s, not %s", r.Effective, p.url)
	}
	return nil
}

func (p *reading) checkCanister(rest hashtree.Path) error {
	fields := len(rest) == 2 && oneOf(rest[1], "module_hash", "controllers", "canister_creation_timestamp", "last_install_timestamp")
	metadata := len(rest) == 3 && string(rest[1]) == "metadata"
	if p.subnet || !fields && !metadata {
		return errPath
	}
	if string(rest[0]) != string(p.url) {
		return badRequest("Effective principal id in URL %s does not match requested principal id: %s.", p.url, readable(rest[0]))
	}
	if metadata {
		return p.mayReadMetadata(rest[0], rest[2])
	}
	return nil
}

func readable(label []byte) string {
	if p, err := ic.PrincipalFromBytes(label); err == nil {
		return p.String()
	}
	return "which is no principal"
}

// mayReadMetadata: private sections are the controllers'.
func (p *reading) mayReadMetadata(canister, name []byte) error {
	if !utf8.Valid(name) {
		return badRequest("Could not parse the custom section name: it is not UTF-8.")
	}
	id := ic.CanisterID{Principal: ic.Principal(canister)}
	public, found := true, false
	if p.state.Metadata != nil {
		public, found = p.state.Metadata(id, string(name))
	} else if _, s := p.state.Tree.Subtree(hashtree.P("canister", string(canister), "metadata", string(name))); s != hashtree.Absent {
		public, found = false, true // unknown: treat it as private
	}
	if !found || public {
		return nil
	}
	raw, status := p.state.Tree.Lookup(hashtree.P("canister", string(canister), "controllers"))
	if status == hashtree.Found {
		controllers, err := cert.DecodePrincipals(raw)
		if err != nil {
			return err
		}
		for _, c := range controllers {
			if c == p.sender {
				return nil
			}
		}
	}
	return forbidden("Custom section %.100s can only be requested by the controllers of the canister.", name)
}
