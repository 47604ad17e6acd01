// Package sysapi is the System API: what a canister may import from "ic0".
//
//	canister code ── ic0.msg_reply ──> HostFunc ──> Env ──> Effects
//	                                     │
//	                         allowed in this context? in bounds? charge
//
// Functions() is the table, one row per import, with the contexts of the
// specification (canister-interface.md, "Overview of imports") and the price in
// instructions. The caller makes an Env for each run; what the run did lies in
// its Effects, to be applied whole or dropped.
package sysapi

import (
	"ashlar/replica/execution/cycles"
	"ashlar/replica/execution/machine"
	"ashlar/replica/ic"
	"ashlar/replica/state"
)

// Context is the kind of entry point that runs, one bit each.
type Context uint32

// The contexts, with the letters of the specification.
const (
	Init            Context = 1 << iota // I: init, post_upgrade
	PreUpgrade                          // G
	Update                              // U
	ReplicatedQuery                     // RQ
	Query                               // NRQ
	Transform                           // TQ
	Composite                           // CQ
	Reply                               // Ry
	Reject                              // Rt
	CompositeReply                      // CRy
	CompositeReject                     // CRt
	Cleanup                             // C
	CompositeClean                      // CC
	Start                               // s
	Inspect                             // F
	Task                                // T: heartbeat, timer, low memory
)

const (
	all        = (1<<16 - 1) &^ Start // the specification's *
	everywhere = 1<<16 - 1            // * s
)

var contextNames = map[Context]string{
	Init: "init", PreUpgrade: "pre upgrade", Update: "update", ReplicatedQuery: "replicated query",
	Query: "non replicated query", Transform: "transform", Composite: "composite query", Reply: "reply callback",
	Reject: "reject callback", CompositeReply: "composite reply callback", CompositeReject: "composite reject callback",
	Cleanup: "cleanup", CompositeClean: "composite cleanup", Start: "start", Inspect: "inspect message", Task: "system task",
}

func (c Context) String() string { return contextNames[c] }

// Limits of what one run may ask for.
const (
	maxReplyBytes      = 2 << 20 // replicated (resource-limits.md)
	maxQueryReplyBytes = 3 << 20
	maxCallBytes       = 10 << 20 // a request on the same subnet
	maxMethodName      = 20_000
	maxCertifiedData   = 32
	maxVariableName    = 128
	// MaxPending calls between one pair of canisters.
	MaxPending = 500
	// MaxTimeout of a best-effort call, in seconds.
	MaxTimeout = 300
	// maxLogRecord keeps one debug_print from taking more than a log can hold.
	maxLogRecord = 32 << 10
)

// Subnet is what canisters learn of where they run.
type Subnet struct {
	ID      ic.SubnetID
	RootKey []byte // DER
	Costs   cycles.Schedule
}

// Env is one run's view of the world. The fields above Effects are set by the
// caller; the functions of the table change only what follows.
type Env struct {
	Context  Context
	Subnet   *Subnet
	Self     ic.CanisterID
	Now      ic.Time
	Memory64 bool

	Caller    ic.Principal
	Info      *ic.SenderInfo
	Arg       []byte     // the argument, or the reply in a reply callback
	Reject    *ic.Reject // in a reject callback, and its cleanup
	Method    string     // in inspect_message
	Deadline  ic.Time
	Refunded  ic.Cycles
	Available ic.Cycles // of the call context, not yet accepted
	Answers   bool      // the call is still to be answered

	Run         state.Run
	Version     uint64
	Settings    *state.Settings
	Certificate func() []byte // makes the data certificate; nil: none
	Replicated  bool
	Earlier     machine.Instructions // of the call context, for performance_counter(1)
	// Balance is what the canister owns now; Freezing is what it must keep.
	Balance, Freezing ic.Cycles
	// Pending is the number of open calls to a canister.
	Pending func(callee ic.Principal) int
	// CallRoom is how many bytes there are for messages of guaranteed calls.
	CallRoom uint64
	// MoreCalls is how many calls may be made.
	MoreCalls int

	Effects
	cert     []byte // made by Certificate
	building *Call
	reply    []byte
	logBytes uint64
}

// Effects are what a run did, besides writing to its memories.
type Effects struct {
	Answer    *ic.Reply // nil: no answer yet
	Calls     []Call
	Accepted  ic.Cycles
	Burned    ic.Cycles
	Certified []byte // nil: unchanged
	Timer     *ic.Time
	Log       [][]byte // the newest lines
	Unlogged  uint64   // lines before them
	Admit     bool     // inspect_message accepted
	// What the run looked at that changes while the canister does not: the answer
	// of a query is as old as these.
	ReadCertificate, ReadTime, ReadBalance bool
}

// Call is a call that the run has made.
type Call struct {
	Callee                  ic.Principal
	Method                  string
	Arg                     []byte
	Cycles                  ic.Cycles
	ReplyFunc, ReplyEnv     uint64
	RejectFunc, RejectEnv   uint64
	HasCleanup              bool
	CleanupFunc, CleanupEnv uint64
	BestEffort              bool
	Deadline                ic.Time
	PaidRun, PaidTransmit   ic.Cycles
	Fee                     ic.Cycles // burned for the request itself
}

// liquid is what may be spent without freezing the canister.
func (e *Env) liquid() ic.Cycles {
	e.ReadBalance = true
	c, _ := e.Balance.Sub(e.Freezing)
	return c
}

// Finish ends a run that returned: a call under construction is dropped and its
// cycles come back.
func (e *Env) Finish() {
	e.dropCall()
	e.reply = nil
}

func (e *Env) dropCall() {
	if e.building != nil {
		e.Balance = e.Balance.Add(e.building.Cycles)
		e.building = nil
	}
}
