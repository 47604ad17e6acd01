package sysapi

import (
	"ashlar/replica/execution/cycles"
	"ashlar/replica/execution/machine"
	"ashlar/replica/wire/candid"
)

// This file: the price of HTTP outcalls by what they use, whose parameters come
// as a Candid record.

// maxOutcallParams bounds the record, in bytes: with all its fields it has some 200.
const maxOutcallParams = 1 << 10

// outcallLimits: the record has no more to skip than an empty variant.
var outcallLimits = candid.Limits{Cost: 100_000, Skip: 100, Depth: 10}

type outcallCounts struct {
	Least    uint32 `candid:"min_responses"`
	Most     uint32 `candid:"max_responses"`
	Requests uint32 `candid:"total_requests"`
}

type outcallKind struct {
	candid.OneOf
	All      *candid.Any     `candid:"fully_replicated"`
	One      *candid.Any     `candid:"non_replicated"`
	Flexible **outcallCounts `candid:"flexible"`
}

type outcallParams struct {
	Request      uint64       `candid:"request_bytes"`
	Milliseconds uint64       `candid:"http_roundtrip_time_ms"`
	Raw          uint64       `candid:"raw_response_bytes"`
	Transformed  uint64       `candid:"transformed_response_bytes"`
	Instructions uint64       `candid:"transform_instructions"`
	Kind         *outcallKind `candid:"outcall_type"`
}

func costOutcall2(e *Env, c machine.Caller, a []uint64) error {
	if a[1] > maxOutcallParams {
		return violation("ic0.cost_http_request_v2: the parameters have %d bytes, the limit is %d", a[1], maxOutcallParams)
	}
	src, err := heapSlice(c, "cost_http_request_v2 heap", a[0], a[1])
	if err != nil {
		return err
	}
	var in outcallParams
	if err := candid.UnmarshalLimits(src, outcallLimits, &in); err != nil {
		return violation("Failed to decode HttpRequestV2CostParams from Candid: %v", err)
	}
	return putCycles(c, "cost_http_request_v2", a[2], e.Subnet.Costs.OutcallV2(in.of(e.Subnet.Costs)))
}

func (p *outcallParams) of(s cycles.Schedule) cycles.Outcall2 {
	o := cycles.Outcall2{Request: p.Request, Milliseconds: p.Milliseconds, Raw: p.Raw, Transformed: p.Transformed, Instructions: p.Instructions}
	switch {
	case p.Kind == nil || p.Kind.All != nil:
	case p.Kind.One != nil:
		o.Kind = cycles.NonReplicated
	default:
		o.Kind = cycles.Flexible
		o.Least, o.Most, o.Requests = s.DefaultCounts()
		if n := *p.Kind.Flexible; n != nil {
			o.Least, o.Most, o.Requests = uint64(n.Least), uint64(n.Most), uint64(n.Requests)
		}
	}
	return o
}
