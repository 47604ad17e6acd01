package block

import (
	"errors"
	"fmt"

	"ashlar/replica/ic"
)

// Queried is what a canister has done for the queries that the block's maker
// answered, since it last told.
type Queried struct {
	Canister                                         ic.CanisterID
	Calls, Instructions, RequestBytes, ResponseBytes uint64
}

// MaxQueried canisters are told of in one block: each changes the state.
const MaxQueried = 100

// EncodeQueries makes a QueriesSection.
func EncodeQueries(list []Queried) []byte {
	w := writer{}
	w.uint(uint64(len(list)))
	for _, q := range list {
		w.blob(q.Canister.Bytes())
		w.uint(q.Calls)
		w.uint(q.Instructions)
		w.uint(q.RequestBytes)
		w.uint(q.ResponseBytes)
	}
	return w
}

// DecodeQueries reads what EncodeQueries made and nothing else.
func DecodeQueries(data []byte) (out []Queried, err error) {
	r := &reader{left: data}
	for range r.count(MaxQueried, "queried canisters") {
		id, err := ic.PrincipalFromBytes(r.blob(ic.MaxPrincipalBytes))
		if err != nil {
			r.fail(err)
		}
		out = append(out, Queried{ic.CanisterID{Principal: id}, r.uint(), r.uint(), r.uint(), r.uint()})
	}
	sorted := true
	for i := 1; i < len(out); i++ {
		sorted = sorted && out[i-1].Canister.Principal < out[i].Canister.Principal
	}
	switch {
	case r.err == nil && len(r.left) > 0:
		r.err = fmt.Errorf("%d bytes after the end", len(r.left))
	case r.err == nil && !sorted:
		r.err = errors.New("canisters are not in order")
	case r.err == nil && len(out) == 0:
		r.err = errors.New("no canisters")
	}
	if r.err != nil {
		return nil, fmt.Errorf("decode queried canisters: %w", r.err)
	}
	return out, nil
}
