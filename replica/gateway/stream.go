package gateway

import (
	"context"
	"errors"
	"fmt"

	"ashlar/replica/wire/candid"
)

// stream is what gives the next chunk of a body: a method, and the token of the
// canister's own type that it wants.
type stream struct {
	callback candid.Func
	token    candid.Value
	kind     *candid.Type
	chunks   int
}

// strategyOf finds the streaming strategy in a reply. The types of callback and
// token are those that the message itself names.
func strategyOf(reply []byte) (*stream, error) {
	types, err := candid.Types(reply)
	if err != nil {
		return nil, err
	}
	if len(types) == 0 {
		return nil, nil
	}
	call := field(plain(field(types[0], "streaming_strategy")), "Callback")
	callback, token := field(call, "callback"), field(call, "token")
	if callback == nil || token == nil {
		return nil, nil // a canister that never streams
	}
	want := candid.RecordOf(candid.F("streaming_strategy", candid.OptOf(candid.VariantOf(candid.F("Callback",
		candid.RecordOf(candid.F("callback", callback), candid.F("token", token)))))))
	values, err := candid.Decode(reply, []*candid.Type{want}, candid.DefaultLimits(len(reply)))
	if err != nil {
		return nil, err
	}
	v, _ := values[0].(candid.Fields).Get("streaming_strategy")
	o := v.(candid.Option)
	if !o.Some {
		return nil, nil
	}
	parts := o.Value.(candid.Choice).Value.(candid.Fields)
	f, _ := parts.Get("callback")
	t, _ := parts.Get("token")
	method, ok := f.(candid.Func)
	if !ok {
		return nil, errors.New("the callback is no function")
	}
	return &stream{callback: method, token: t, kind: token}, nil
}

// field is the type of a field; nil where there is none.
func field(t *candid.Type, name string) *candid.Type {
	if t == nil || t.Kind != candid.Record && t.Kind != candid.Variant {
		return nil
	}
	for _, f := range t.Fields {
		if f.ID == candid.Hash(name) {
			return f.Type
		}
	}
	return nil
}

// plain is the type without its opt.
func plain(t *candid.Type) *candid.Type {
	if t != nil && t.Kind == candid.Opt {
		return t.Elem
	}
	return t
}

// chunkOf reads the reply of a callback: a piece of the body and the next token.
func chunkOf(reply []byte) (body []byte, token candid.Value, kind *candid.Type, err error) {
	types, err := candid.Types(reply)
	if err != nil {
		return nil, nil, nil, err
	}
	fields := []candid.Field{candid.F("body", candid.VecOf(candid.Prim(candid.Nat8)))}
	if len(types) > 0 {
		kind = plain(field(plain(types[0]), "token"))
	}
	if kind != nil {
		fields = append(fields, candid.F("token", candid.OptOf(kind)))
	}
	values, err := candid.Decode(reply, []*candid.Type{candid.OptOf(candid.RecordOf(fields...))}, candid.DefaultLimits(len(reply)))
	if err != nil {
		return nil, nil, nil, err
	}
	o := values[0].(candid.Option)
	if !o.Some {
		return nil, nil, nil, nil // the canister has no more
	}
	b, _ := o.Value.(candid.Fields).Get("body")
	if t, ok := o.Value.(candid.Fields).Get("token"); ok && t.(candid.Option).Some {
		token = t.(candid.Option).Value
	} else {
		kind = nil
	}
	return b.([]byte), token, kind, nil
}

// next gets a chunk; more is false after the last. What follows the reply of a
// call is called, too: a query's answer would be one node's word.
func (x *exchange) next(ctx context.Context) (body []byte, more bool, fault *fault) {
	s := x.stream
	if s.chunks++; s.chunks > maxChunks {
		return nil, false, faultAnswer(fmt.Sprintf("the body has more than %d chunks", maxChunks))
	}
	arg, err := candid.Encode([]*candid.Type{s.kind}, []candid.Value{s.token})
	if err != nil {
		return nil, false, faultAnswer("the streaming token cannot be sent back: " + err.Error())
	}
	ask := x.gateway.cfg.Canisters.Query
	if x.updated {
		ask = x.gateway.cfg.Canisters.Call
	}
	reply, err := ask(ctx, x.to.canister, s.callback.Method, arg)
	if err != nil {
		return nil, false, x.faultOf(s.callback.Method, err)
	}
	if body, s.token, s.kind, err = chunkOf(reply); err != nil {
		return nil, false, faultAnswer(fmt.Sprintf("the reply of %s: %v", s.callback.Method, err))
	}
	return body, s.kind != nil, nil
}

// assemble gets the whole body, since only the whole is certified.
func (x *exchange) assemble() *fault {
	select {
	case x.gateway.assemblies <- struct{}{}:
		defer func() { <-x.gateway.assemblies }()
	case <-x.ctx.Done():
		return faultBusy()
	}
	for more := true; more; {
		var body []byte
		var fault *fault
		if body, more, fault = x.next(x.ctx); fault != nil {
			return fault
		}
		if len(x.resp.Body)+len(body) > assembledBytes {
			return faultLong()
		}
		x.resp.Body = append(x.resp.Body, body...)
	}
	x.stream = nil
	return nil
}
