package api

import (
	"net/http"

	"ashlar/replica/ic"
	"ashlar/replica/wire/candid"
)

// target reads the id in the URL: a canister of this subnet, or the subnet.
func (s *Server) target(r *http.Request, sc scope) (ic.Principal, error) {
	text := r.PathValue("id")
	p, err := ic.ParsePrincipal(text)
	if err != nil {
		return "", edge(http.StatusBadRequest, "malformed_request", "Unable to decode the principal in the URL: %v", err)
	}
	if sc.subnet {
		if p != s.node.SubnetID().Principal {
			return "", edge(http.StatusBadRequest, "subnet_not_found", "The specified subnet cannot be found.")
		}
		return p, nil
	}
	if p != ic.Management && !s.hosts(p) {
		return "", edge(http.StatusBadRequest, "canister_not_found", "The specified canister does not exist.")
	}
	return p, nil
}

func (s *Server) hosts(p ic.Principal) bool {
	for _, r := range s.node.Ranges() {
		if r.Contains(ic.CanisterID{Principal: p}) {
			return true
		}
	}
	return false
}

// checkCallTarget applies the rules of "Effective canister id" to a call.
func checkCallTarget(sc scope, url, canister ic.Principal, method string, arg []byte) error {
	create := method == "create_canister" || method == "provisional_create_canister_with_cycles"
	switch {
	case sc.subnet:
		if canister != ic.Management || method != "create_canister" {
			return badRequest("The subnet endpoint only takes calls to create_canister of the management canister, not to %s of %s", method, canister)
		}
		return nil
	case canister != ic.Management:
		return sameTarget(url, canister)
	case create:
		return nil // any id of the subnet
	case method == "install_chunked_code":
		return argTarget(url, arg, "target_canister")
	}
	return argTarget(url, arg, "canister_id")
}

// checkQueryTarget is checkCallTarget for queries.
func checkQueryTarget(sc scope, url, canister ic.Principal, method string, arg []byte) error {
	switch {
	case sc.subnet:
		if canister != ic.Management || method != "list_canisters" {
			return badRequest("The subnet endpoint only takes queries to list_canisters of the management canister, not to %s of %s", method, canister)
		}
		return nil
	case canister != ic.Management:
		return sameTarget(url, canister)
	case method == "list_canisters":
		return nil
	}
	return argTarget(url, arg, "canister_id")
}

func sameTarget(url, want ic.Principal) error {
	if url != want {
		return badRequest("Specified CanisterId %s does not match effective canister id in URL %s", want, url)
	}
	return nil
}

// argTarget compares with the canister that a call to the management canister is about.
func argTarget(url ic.Principal, arg []byte, field string) error {
	want := candid.RecordOf(candid.F(field, candid.Prim(candid.Principal)))
	values, err := candid.Decode(arg, []*candid.Type{want}, candid.DefaultLimits(len(arg)))
	if err != nil {
		return nil // such a call is about no canister: it is refused with an error of its own
	}
	v, _ := values[0].(candid.Fields).Get(field)
	return sameTarget(url, v.(ic.Principal))
}
