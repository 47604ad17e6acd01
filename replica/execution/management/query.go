package management

import (
	"ashlar/replica/execution/canister"
	"ashlar/replica/execution/cycles"
	"ashlar/replica/execution/machine"
	"ashlar/replica/ic"
	"ashlar/replica/state"
	"ashlar/replica/wire/candid"
)

// Queries answers queries to the management canister, on a state at rest.
type Queries struct {
	Config
	State *state.State
	Costs cycles.Schedule
}

// Query answers a user's query.
func (q *Queries) Query(method string, arg []byte, caller ic.Principal) ic.Reply {
	return q.answer(method, arg, caller, byQuery)
}

// Instructions that listing canisters costs a composite query: at all, and for each.
const (
	listWork    = 20_000_000
	listOneWork = 16_000
)

// Composite answers a call that a composite query makes, and tells what that cost.
func (q *Queries) Composite(method string, arg []byte, caller ic.Principal) (reply ic.Reply, used machine.Instructions) {
	reply = q.answer(method, arg, caller, byComposite)
	if method == "list_canisters" && reply.Reject == nil {
		used = instructionsOf(listWork + listOneWork*uint64(q.State.NumCanisters()))
	}
	return reply, used
}

func (q *Queries) answer(name string, arg []byte, caller ic.Principal, way callers) ic.Reply {
	reply, err := q.dispatch(name, arg, caller, way)
	if err != nil {
		return ic.Reply{Reject: err.Reject()}
	}
	return ic.Reply{Data: reply}
}

func (q *Queries) dispatch(name string, arg []byte, caller ic.Principal, way callers) ([]byte, *ic.UserError) {
	f, ok := methods[name]
	if !ok || f.by&way == 0 {
		return nil, ic.Errorf(ic.CanisterMethodNotFound, "Query method %s not found.", clip(name))
	}
	if name == "list_canisters" {
		return q.list(arg, caller)
	}
	var in logsArgs // every other one names a canister; fields it lacks are optional
	var info infoArgs
	switch name {
	case "canister_info":
		if err := decode(arg, &info); err != nil {
			return nil, err
		}
		in.Canister = info.Canister
	case "fetch_canister_logs":
		if err := decode(arg, &in); err != nil {
			return nil, err
		}
	default:
		var id idArgs
		if err := decode(arg, &id); err != nil {
			return nil, err
		}
		in.Canister = id.Canister
	}
	c := q.State.Canister(in.Canister)
	if c == nil {
		return nil, canister.NotFound(in.Canister)
	}
	switch name {
	case "canister_info":
		return candid.Marshal(infoOf(c, info.Changes)), nil
	case "fetch_canister_logs":
		out, err := logsOf(c, caller, in.Filter)
		if err != nil {
			return nil, err
		}
		return candid.Marshal(out), nil
	case "canister_metrics":
		if err := q.maySeeMetrics(c, caller); err != nil {
			return nil, err
		}
		return candid.Marshal(metricsOf(c)), nil
	}
	if err := q.maySeeStatus(c, caller); err != nil {
		return nil, err
	}
	return candid.Marshal(statusOf(c, q.Costs, q.State.Height())), nil
}

// list tells the ids in use, as ranges, to the subnet's admins.
func (q *Queries) list(arg []byte, caller ic.Principal) ([]byte, *ic.UserError) {
	if err := candid.Unmarshal(arg); err != nil {
		return nil, ic.Errorf(ic.InvalidManagementPayload, "Error decoding candid: %s", clip(err.Error()))
	}
	if len(q.Admins) == 0 {
		return nil, ic.Errorf(ic.CanisterRejectedMessage, "list_canisters is only available on subnets with subnet admins")
	}
	if !q.admin(caller) {
		return nil, ic.Errorf(ic.InvalidSubnetAdmin, "Only subnet admins can call list_canisters")
	}
	out := listResult{Canisters: []idRange{}}
	var last uint64
	q.State.Canisters(func(c *state.Canister) bool {
		n, _ := c.ID.Uint64()
		if k := len(out.Canisters); k > 0 && n == last+1 {
			out.Canisters[k-1].End = c.ID
		} else {
			out.Canisters = append(out.Canisters, idRange{c.ID, c.ID})
		}
		last = n
		return true
	})
	return candid.Marshal(out), nil
}
