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
	// System subnets, whose messages may take longer. Free is set too.
	System bool
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
	outcallBase     = 3_000_000
	outcallPerNode  = 60_000
	outcallRequest  = 400
	outcallResponse = 800
)

// Limits that prices refer to.
const (
	messageInstructions, systemMessage machine.Instructions = 40_000_000_000, 50_000_000_000
	installInstructions, systemInstall machine.Instructions = 300_000_000_000, 1_000_000_000_000
	queryInstructions, systemQuery     machine.Instructions = 5_000_000_000, 50_000_000_000
	// InspectInstructions is the limit of canister_inspect_message.
	InspectInstructions machine.Instructions = 200_000_000
	// MaxResponseBytes of an inter-canister response: what a call pays for ahead.
	MaxResponseBytes = 2 << 20
	// reservationSeconds is how far ahead storage is paid on a full subnet.
	reservationSeconds = 300_000_000
)

// Message is the limit of one update message, callback or task, in instructions.
func (s Schedule) Message() machine.Instructions { return s.limit(messageInstructions, systemMessage) }

// Install is the limit of one installation or upgrade.
func (s Schedule) Install() machine.Instructions { return s.limit(installInstructions, systemInstall) }

// Query is the limit of one query, and of all that it calls.
func (s Schedule) Query() machine.Instructions { return s.limit(queryInstructions, systemQuery) }

func (s Schedule) limit(usual, system machine.Instructions) machine.Instructions {
	if s.System {
		return system
	}
	return usual
}

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
	return s.scale(ic.NewCycles(updateMessage).Add(instructions(n, memory64)))
}

// Instructions is the price of instructions alone.
func (s Schedule) Instructions(n machine.Instructions, memory64 bool) ic.Cycles {
	return s.scale(instructions(n, memory64))
}

// instructions are priced by ten, on the reference subnet.
func instructions(n machine.Instructions, memory64 bool) ic.Cycles {
	rate := uint64(per10)
	if memory64 {
		rate = per10Memory64
	}
	return ic.NewCycles(uint64(n)).Mul(rate).Div(10)
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
	return s.Run(s.Message(), memory64), s.Transmit(MaxResponseBytes)
}

// CallInAll is what ic0.cost_call tells: what is withdrawn when a call is made.
func (s Schedule) CallInAll(bytes uint64, memory64 bool) ic.Cycles {
	run, transmit := s.Response(memory64)
	return s.Call(bytes).Add(run).Add(transmit)
}

// Ingress is the price of a user's message of that many bytes. Message and byte
// are scaled each for itself, as mainnet does it.
func (s Schedule) Ingress(bytes uint64) ic.Cycles {
	return s.scale(ic.NewCycles(ingress)).Add(s.scale(ic.NewCycles(ingressByte)).Mul(bytes))
}

// Storage is the price of bytes for whole seconds: a day's price, and of that the
// part, as mainnet rounds it.
func (s Schedule) Storage(bytes, seconds uint64) ic.Cycles {
	return s.storage(bytes, secondsDay).Mul(seconds).Div(secondsDay)
}

func (s Schedule) storage(bytes, seconds uint64) ic.Cycles {
	return s.scale(ic.NewCycles(bytes).Mul(storageGiBSec).Mul(seconds).Div(gib))
}

// Compute is the price of a compute allocation for whole seconds.
func (s Schedule) Compute(percent, seconds uint64) ic.Cycles {
	return s.compute(percent, secondsDay).Mul(seconds).Div(secondsDay)
}

func (s Schedule) compute(percent, seconds uint64) ic.Cycles {
	return s.scale(ic.NewCycles(computePerSec).Mul(seconds).Mul(percent))
}

// Idle is what a canister occupies while it does nothing: memory (what it uses or
// is allocated), messages on their way and room kept for responses, both in bytes,
// and compute in percent.
type Idle struct{ Memory, Messages, Compute uint64 }

// IdlePerDay is what a canister burns without doing anything.
func (s Schedule) IdlePerDay(i Idle) ic.Cycles {
	return s.storage(i.Memory, secondsDay).Add(s.storage(i.Messages, secondsDay)).Add(s.compute(i.Compute, secondsDay))
}

// Freezing is the balance below which a canister is frozen: what it burns in the
// threshold's time, less what it holds in reserve.
func (s Schedule) Freezing(i Idle, thresholdSeconds uint64, reserved ic.Cycles) ic.Cycles {
	c, _ := s.IdlePerDay(i).Mul(thresholdSeconds).Div(secondsDay).Sub(reserved)
	return c
}

// Reservation is what a canister that takes more bytes must set aside for their
// storage, on a subnet where used bytes are in use: nothing below the threshold,
// and then for a time that grows to reservationSeconds at the full capacity.
func (s Schedule) Reservation(more, used, threshold, capacity uint64) ic.Cycles {
	threshold = min(threshold, capacity)
	total := func(used uint64) ic.Cycles {
		used = min(used, capacity)
		if used <= threshold {
			return ic.Cycles{}
		}
		above := used - threshold
		seconds := ic.NewCycles(reservationSeconds).Mul(above).Div(capacity - threshold).Lo
		return s.storage(above, seconds/2) // a triangle: half of its height times its base
	}
	if used+more < used {
		more = ^uint64(0) - used
	}
	c, _ := total(used + more).Sub(total(used))
	return c
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

// OutcallKind is who makes an HTTP outcall's requests.
type OutcallKind uint8

// The kinds of outcall.
const (
	FullyReplicated OutcallKind = iota // all nodes, which must agree
	NonReplicated                      // one node
	Flexible                           // some nodes, each with its own answer
)

// Outcall2 is an HTTP outcall as the second version of its price sees it: by what
// it uses.
type Outcall2 struct {
	Kind                  OutcallKind
	Request               uint64 // bytes
	Milliseconds          uint64 // until the response is there
	Raw, Transformed      uint64 // bytes of the response, before and after the transformation
	Instructions          uint64 // of the transformation
	Least, Most, Requests uint64 // of Flexible: responses wanted, and nodes that ask
}

// DefaultCounts are those of a flexible outcall that does not say.
func (s Schedule) DefaultCounts() (least, most, requests uint64) {
	n := uint64(s.Nodes)
	return 2*n/3 + 1, n, n
}

// OutcallV2 is what to attach to an outcall that uses just that: a base fee, a fee
// for each node that asks, and one for the result's way into a block. Source:
// cycle-costs.md, "HTTPS outcalls", version 2.
func (s Schedule) OutcallV2(o Outcall2) ic.Cycles {
	if s.Free {
		return ic.Cycles{}
	}
	n, c := uint64(s.Nodes), ic.NewCycles
	asking, delivered, least := n, uint64(1), uint64(1)
	switch o.Kind {
	case NonReplicated:
		asking = 1
	case Flexible:
		asking, least, delivered = o.Requests, o.Least, o.Most
	}
	base := c(1_000_000).Add(c(50).Mul(o.Request))
	if o.Kind == FullyReplicated {
		base = base.Add(c(140_000).Mul(n)).Add(c(800).Mul(n).Mul(n))
	} else {
		base = base.Add(c(90_000).Mul(n)).Add(c(2_000*n + 100_000).Mul(least))
	}
	use := c(50).Mul(o.Raw).Add(c(300).Mul(o.Milliseconds)).Add(c(o.Instructions).Div(referenceNodes))
	if o.Kind != FullyReplicated {
		use = use.Add(c(50 * n).Mul(o.Transformed))
	}
	result := c(o.Transformed)
	if o.Kind == Flexible { // each answer has its own envelope
		result = c(o.Transformed).Add(c(181)).Mul(delivered)
	}
	delivery := result.Mul(n * (10*n + 600))
	if delivered > least {
		delivery = delivery.Add(c((2_000*n + 100_000) * n).Mul(delivered - least))
	}
	return base.Mul(n).Add(use.Mul(asking)).Add(delivery)
}
