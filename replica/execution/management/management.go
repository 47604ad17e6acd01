// Package management is the management canister, aaaaa-aa.
//
//	message to aaaaa-aa ──> methods (table) ── who may? ── Candid ──> handler
//	                                                                   │
//	                                   reply now │ reject now │ later (stop, raw_rand)
//
// Each row of the table names a method, who may call it and how; handlers do the
// work on the round's draft. Methods that need threshold keys, HTTP outcalls or
// Bitcoin are refused as on a subnet without that feature. Source:
// management-canister.md of the interface specification, version 0.67.
package management

import (
	"strings"

	"ashlar/replica/execution/canister"
	"ashlar/replica/execution/machine"
	"ashlar/replica/ic"
	"ashlar/replica/state"
	"ashlar/replica/wire/candid"
)

// Config is what the management canister knows of its subnet.
type Config struct {
	// Provisional allows creating and topping up canisters from nothing: only on
	// networks for development.
	Provisional bool
	// Version of the replica, as subnet_info tells it.
	Version string
	// Admins of the subnet, if it has any.
	Admins []ic.Principal
}

// Management works off messages to aaaaa-aa.
type Management struct {
	*canister.Room
	Config
	// Randomness of the round before this one's messages: what raw_rand answers.
	Randomness [32]byte
	draws      uint64 // how often raw_rand was answered in this round
}

// callers says how a method may be called.
type callers uint8

const (
	byCanister  callers = 1 << iota
	byUser              // ingress
	byQuery             // a user's query
	byComposite         // a call of a composite query
)

// call is one message being worked off.
type call struct {
	*Management
	msg    *state.Message
	caller ic.Principal
	// accepted of the cycles attached; the rest goes back.
	accepted ic.Cycles
	used     machine.Instructions
	later    bool // the answer comes in another round or is already on its way
}

type method struct {
	by     callers
	handle func(x *call) ([]byte, *ic.UserError)
}

var methods map[string]method

func init() {
	const both = byCanister | byUser
	const all = both | byQuery | byComposite
	methods = map[string]method{
		"create_canister":                         {both, createCanister}, // of users only the subnet's admins
		"provisional_create_canister_with_cycles": {both, provisionalCreate},
		"provisional_top_up_canister":             {both, provisionalTopUp},
		"update_settings":                         {both, updateSettings},
		"install_code":                            {both, installCode},
		"install_chunked_code":                    {both, installChunked},
		"upload_chunk":                            {both, uploadChunk},
		"clear_chunk_store":                       {both, clearChunks},
		"stored_chunks":                           {both, storedChunks},
		"uninstall_code":                          {both, uninstallCode},
		"start_canister":                          {both, startCanister},
		"stop_canister":                           {both, stopCanister},
		"delete_canister":                         {both, deleteCanister},
		"canister_status":                         {all, canisterStatus},
		"canister_metrics":                        {all, canisterMetrics},
		"canister_info":                           {byCanister | byQuery | byComposite, canisterInfo},
		"canister_metadata":                       {byCanister, canisterMetadata},
		"deposit_cycles":                          {byCanister, depositCycles},
		"raw_rand":                                {byCanister, rawRand},
		"take_canister_snapshot":                  {both, takeSnapshot},
		"load_canister_snapshot":                  {both, loadSnapshot},
		"list_canister_snapshots":                 {both, listSnapshots},
		"delete_canister_snapshot":                {both, deleteSnapshot},
		"read_canister_snapshot_metadata":         {both, readMetadata},
		"read_canister_snapshot_data":             {both, readData},
		"upload_canister_snapshot_metadata":       {both, uploadMetadata},
		"upload_canister_snapshot_data":           {both, uploadData},
		"fetch_canister_logs":                     {byCanister | byQuery | byComposite, fetchLogs},
		"node_metrics_history":                    {byCanister, metricsHistory},
		"subnet_info":                             {byCanister, subnetInfo},
		"subnet_metrics":                          {byCanister, subnetMetrics},
		"list_canisters":                          {byQuery | byComposite, listCanisters},
	}
}

// Installs tells whether a method runs code of the canister it is about: it may
// take several rounds, and is executed in a turn of that canister.
func Installs(method string) bool {
	return method == "install_code" || method == "install_chunked_code"
}

// Execute works off one message of the management canister's queue. later tells
// that the answer is not there yet and the message was taken over.
func (m *Management) Execute(msg *state.Message) (used machine.Instructions) {
	x := &call{Management: m, msg: msg, caller: msg.Origin.Caller}
	reply, err := x.dispatch()
	if x.later {
		return x.used
	}
	back, _ := msg.Cycles.Sub(x.accepted)
	if err != nil {
		m.Answer(&msg.Origin, ic.Reply{Reject: x.rejection(err)}, msg.Cycles)
	} else {
		m.Answer(&msg.Origin, ic.Reply{Data: reply}, back)
	}
	return x.used
}

// versioned are the methods whose callers may say their version: mainnet reads their
// arguments before it looks for the subnet to send them to.
var versioned = map[string]bool{
	"create_canister": true, "provisional_create_canister_with_cycles": true, "update_settings": true, "uninstall_code": true,
	"install_code": true, "install_chunked_code": true, "load_canister_snapshot": true, "take_canister_snapshot": true,
}

// routed are the methods that are worked off where they are called, whatever their argument.
var routed = map[string]bool{"raw_rand": true, "http_request": true, "flexible_http_request": true, "setup_initial_dkg": true}

const undecodable = "Error decoding candid: "

// rejection is an error as its caller sees it. A canister's call that cannot be read
// does not get as far as to a management canister.
func (x *call) rejection(err *ic.UserError) *ic.Reject {
	name := x.msg.Method
	switch bad := err.Code == ic.InvalidManagementPayload && strings.HasPrefix(err.Message, undecodable); {
	case x.msg.Origin.Kind != state.Request || !bad || routed[name]:
		return err.Reject()
	case versioned[name]:
		return unread(err).Reject()
	}
	return ic.Errorf(ic.CanisterNotFound, "Unable to route management canister request %s: UserError(UserError { code: InvalidManagementPayload, description: %q })", name, err.Message).Reject()
}

// unread is an error found on the caller's side: its code is part of the text.
func unread(err *ic.UserError) *ic.UserError {
	return ic.Errorf(ic.CanisterContractViolation, "%s", err.Error())
}

// versionFits holds that a canister which says its version says the right one.
func (x *call) versionFits() *ic.UserError {
	if x.msg.Origin.Kind != state.Request || !versioned[x.msg.Method] {
		return nil
	}
	var in struct {
		Version *uint64 `candid:"sender_canister_version"`
	}
	if err := decode(x.msg.Arg, &in); err != nil || in.Version == nil || *in.Version == x.msg.Version {
		return err
	}
	return unread(ic.Errorf(ic.CanisterContractViolation, "Management canister call payload includes sender canister version %d that does not match the actual sender canister version %d.", *in.Version, x.msg.Version))
}

func (x *call) dispatch() ([]byte, *ic.UserError) {
	name := x.msg.Method
	way := byCanister
	if x.msg.Origin.Kind == state.Ingress {
		way = byUser
	}
	if refuse, ok := refused[name]; ok {
		if way == byUser {
			return nil, notThisWay(name, way)
		}
		return nil, refuse(x)
	}
	f, ok := methods[name]
	if !ok {
		err := ic.Errorf(ic.CanisterMethodNotFound, "Management canister has no method '%s'", clip(name))
		if way == byCanister {
			err = unread(err)
		}
		return nil, err
	}
	if err := x.versionFits(); err != nil {
		return nil, err
	}
	if f.by&way == 0 || name == "create_canister" && way == byUser && !x.admin(x.caller) {
		return nil, notThisWay(name, way)
	}
	return f.handle(x)
}

func notThisWay(name string, way callers) *ic.UserError {
	switch {
	case way == byUser && (name == "canister_info" || name == "canister_metadata" || name == "rename_canister"):
		return ic.Errorf(ic.CanisterRejectedMessage, "Only canisters can call ic00 method %s", name)
	case way == byUser:
		return ic.Errorf(ic.CanisterRejectedMessage, "ic00 method %s can not be called via ingress messages", name)
	}
	return ic.Errorf(ic.CanisterRejectedMessage, "Method %s cannot be called by canisters in replicated mode", name)
}

// decode reads the argument; its error does not repeat what the argument holds.
func decode(arg []byte, into any) *ic.UserError {
	if err := candid.Unmarshal(arg, into); err != nil {
		return ic.Errorf(ic.InvalidManagementPayload, undecodable+"%s", clip(err.Error()))
	}
	return nil
}

// maxDecodeError keeps a bad argument's error short: its text is part of the state.
const maxDecodeError = 1000 // bytes

func clip(s string) string {
	if len(s) > maxDecodeError {
		return s[:maxDecodeError]
	}
	return s
}

var nothing = candid.Marshal()

// target finds a canister that the call is about.
func (x *call) target(id ic.CanisterID) (*state.Canister, *ic.UserError) {
	c := x.Canister(id)
	switch {
	case c == nil && x.msg.Origin.Kind == state.Request && !x.Hosts(id):
		return nil, ic.Errorf(ic.CanisterNotFound, "Unable to route management canister request %s: SubnetNotFound(CanisterId(%s), %s)", x.msg.Method, id, camel(x.msg.Method))
	case c == nil:
		return nil, ic.Errorf(ic.CanisterNotFound, "Canister %s not found.\nCheck the ICP dashboard to ensure the canister exists. See documentation: %scanister-not-found", id, ic.ErrorDocs)
	}
	copied := *c
	return &copied, nil
}

// camel is a method's name as mainnet's texts have it.
func camel(method string) (name string) {
	for _, word := range strings.Split(method, "_") {
		name += strings.ToUpper(word[:1]) + word[1:]
	}
	return name
}

// controlled is target for callers who control it.
func (x *call) controlled(id ic.CanisterID) (*state.Canister, *ic.UserError) {
	c, err := x.target(id)
	if err == nil && !c.Settings.Controls(x.caller) {
		err = notController(c, x.caller)
	}
	return c, err
}

// governed is target for controllers and subnet admins.
func (x *call) governed(id ic.CanisterID) (*state.Canister, *ic.UserError) {
	c, err := x.target(id)
	if err == nil {
		err = x.mayGovern(c, x.caller)
	}
	return c, err
}

// mayGovern holds p against the controllers of c and the subnet's admins, if it has any.
func (c *Config) mayGovern(of *state.Canister, p ic.Principal) *ic.UserError {
	switch {
	case of.Settings.Controls(p) || c.admin(p):
		return nil
	case len(c.Admins) == 0:
		return notController(of, p)
	}
	return ic.Errorf(ic.InvalidControllerOrSubnetAdmin, "Only the controllers of the canister %s or subnet admins can control it.\nCanister's controllers: %s\nSubnet admins: %s\nSender's ID: %s",
		of.ID, names(of.Settings.Controllers), names(c.Admins), p)
}

func names(list []ic.Principal) string {
	texts := make([]string, len(list))
	for i, p := range list {
		texts[i] = p.String()
	}
	return strings.Join(texts, " ")
}

func (c *Config) admin(p ic.Principal) bool {
	for _, a := range c.Admins {
		if a == p {
			return true
		}
	}
	return false
}

func notController(c *state.Canister, caller ic.Principal) *ic.UserError {
	return ic.Errorf(ic.CanisterInvalidController, "Only the controllers of the canister %s can control it.\nCanister's controllers: %s\nSender's ID: %s\n"+
		"Execute this call from a controller of the target canister or add the current caller as a controller. See documentation: %sinvalid-controller", c.ID, names(c.Settings.Controllers), caller, ic.ErrorDocs)
}

// remember writes a change into the canister's history.
func (x *call) remember(c *state.Canister, version *uint64, ch state.Change) {
	ch.Time, ch.Version, ch.Origin = x.Now, c.Version, x.caller
	if x.msg.Origin.Kind == state.Request {
		ch.FromCanister, ch.OriginVersion = true, version
	}
	c.Remember(&ch)
}
