// Package cycles is the price list of a subnet.
//
//	work (instructions, bytes, seconds) ── Schedule ──> ic.Cycles
//
// Prices are given for a reference subnet of 13 nodes and grow with the number
// of nodes: a price of c costs c*n/13. Source: the cost table of
// docs/references/cycle-costs.md and replica.md A.10.
package cycles

import (
	"ashlar/replica/execution/machine"
	"ashlar/replica/ic"
)

// Schedule is what things cost on one subnet.
type Schedule struct {
	Nodes int
	Free  bool // subnets whose canisters pay nothing
}

// referenceNodes is the size of the subnet the prices below are for.
const referenceNodes = 13

// The prices, in cycles on the reference subnet.
const (
	createCanister  = 500_000_000_000
	updateMessage   = 5_000_000 // each execution, before its instructions
	per10           = 10        // ten instructions, 32-bit
	per10Memory64   = 20        // ten instructions, 64-bit
	call            = 260_000   // a request and its response, before their bytes
	callByte        = 1_000
	ingress         = 1_200_000
	ingressByte     = 2_000
	storageGiBSec   = 127_000
	computePerSec   = 10_000_000 // one percent of a core
	logsFetch       = 1_000_000
	logsFetchByte   = 800
	outcallBase     = 3_000_000
	outcallPerNode  = 60_000
	outcallRequest  = 400
	outcallResponse = 800
)

// Limits that prices refer to.
const (
	// MessageInstructions is the limit of one update message, callback or task.
	MessageInstructions machine.Instructions = 40_000_000_000
	// InstallInstructions is the limit of one installation or upgrade.
	InstallInstructions machine.Instructions = 300_000_000_000
	// QueryInstructions is the limit of one query.
	QueryInstructions machine.Instructions = 5_000_000_000
	// InspectInstructions is the limit of canister_inspect_message.
	InspectInstructions machine.Instructions = 200_000_000
	// MaxResponseBytes of an inter-canister response: what a call pays for ahead.
	MaxResponseBytes = 2 << 20
)

const (
	gib        = 1 << 30
	secondsDay = 24 * 60 * 60
)

func (s Schedule) scale(c ic.Cycles) ic.Cycles {
	if s.Free {
		return ic.Cycles{}
	}
	return c.Mul(uint64(s.Nodes)).Div(referenceNodes)
}

// Create is the fee for a new canister.
func (s Schedule) Create() ic.Cycles { return s.scale(ic.NewCycles(createCanister)) }

// Run is the price of one execution.
func (s Schedule) Run(n machine.Instructions, memory64 bool) ic.Cycles {
	return s.scale(ic.NewCycles(updateMessage)).Add(s.Instructions(n, memory64))
}

// Instructions is the price of instructions alone.
func (s Schedule) Instructions(n machine.Instructions, memory64 bool) ic.Cycles {
	rate := uint64(per10)
	if memory64 {
		rate = per10Memory64
	}
	return s.scale(ic.NewCycles(uint64(n)).Mul(rate).Div(10))
}

// Call is the price of a request of that many bytes, method name included.
func (s Schedule) Call(bytes uint64) ic.Cycles {
	return s.scale(ic.NewCycles(call)).Add(s.Transmit(bytes))
}

// Transmit is the price of bytes between canisters.
func (s Schedule) Transmit(bytes uint64) ic.Cycles {
	return s.scale(ic.NewCycles(callByte).Mul(bytes))
}

// Response is what a call sets aside for its response: to run the callback, and
// for the largest response there can be.
func (s Schedule) Response(memory64 bool) (run, transmit ic.Cycles) {
	return s.Run(MessageInstructions, memory64), s.Transmit(MaxResponseBytes)
}

// CallInAll is what ic0.cost_call tells: what is withdrawn when a call is made.
func (s Schedule) CallInAll(bytes uint64, memory64 bool) ic.Cycles {
	run, transmit := s.Response(memory64)
	return s.Call(bytes).Add(run).Add(transmit)
}

// Ingress is the price of a user's message of that many bytes.
func (s Schedule) Ingress(bytes uint64) ic.Cycles {
	return s.scale(ic.NewCycles(ingress).Add(ic.NewCycles(ingressByte).Mul(bytes)))
}

// Storage is the price of bytes for nanoseconds.
func (s Schedule) Storage(bytes uint64, ns uint64) ic.Cycles {
	return s.scale(ic.NewCycles(bytes).Mul(storageGiBSec).Mul(ns / 1e6).Div(gib).Div(1000))
}

// Compute is the price of a compute allocation for nanoseconds.
func (s Schedule) Compute(percent uint64, ns uint64) ic.Cycles {
	return s.scale(ic.NewCycles(computePerSec).Mul(percent).Mul(ns / 1e6).Div(1000))
}

// IdlePerDay is what a canister burns without doing anything.
func (s Schedule) IdlePerDay(bytes, percent uint64) ic.Cycles {
	const day = secondsDay * 1e9
	return s.Storage(bytes, day).Add(s.Compute(percent, day))
}

// Freezing is the balance below which a canister is frozen: what it burns in the
// threshold's time, less what it holds in reserve.
func (s Schedule) Freezing(bytes, percent, thresholdSeconds uint64, reserved ic.Cycles) ic.Cycles {
	c, _ := s.IdlePerDay(bytes, percent).Mul(thresholdSeconds).Div(secondsDay).Sub(reserved)
	return c
}

// Logs is the price of fetching logs by a call.
func (s Schedule) Logs(bytes uint64) ic.Cycles {
	return s.scale(ic.NewCycles(logsFetch).Add(ic.NewCycles(logsFetchByte).Mul(bytes)))
}

// Outcall is the price of an HTTP outcall.
func (s Schedule) Outcall(requestBytes, maxResponseBytes uint64) ic.Cycles {
	if s.Free {
		return ic.Cycles{}
	}
	n := uint64(s.Nodes)
	per := ic.NewCycles(outcallBase + outcallPerNode*n).
		Add(ic.NewCycles(outcallRequest).Mul(requestBytes)).
		Add(ic.NewCycles(outcallResponse).Mul(maxResponseBytes))
	return per.Mul(n)
}
