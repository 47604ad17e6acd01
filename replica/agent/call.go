package agent

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"ashlar/replica/ic"
	"ashlar/replica/wire/cert"
	"ashlar/replica/wire/envelope"
	"ashlar/replica/wire/hashtree"
)

// Call calls an update method and returns its certified reply.
func (a *Agent) Call(ctx context.Context, canister ic.CanisterID, method string, arg []byte) ([]byte, error) {
	return a.CallAt(ctx, canister, canister, method, arg)
}

// CallAt is Call with an effective canister id, as calls to the management canister need.
func (a *Agent) CallAt(ctx context.Context, effective, canister ic.CanisterID, method string, arg []byte) ([]byte, error) {
	sent, err := a.Submit(ctx, effective, canister, method, arg)
	if err != nil {
		return nil, err
	}
	return sent.Wait(ctx)
}

// Sent is a call under way.
type Sent struct {
	ID        ic.RequestID
	agent     *Agent
	effective ic.CanisterID
	expiry    ic.Time
	cert      *cert.Certificate // if the call has ended already
}

// Submit sends a call and returns once the node has accepted or answered it.
func (a *Agent) Submit(ctx context.Context, effective, canister ic.CanisterID, method string, arg []byte) (*Sent, error) {
	c := &envelope.Content{Type: envelope.Call, Canister: canister.Bytes(), Method: method, Arg: arg}
	raw, id, err := a.seal(c)
	if err != nil {
		return nil, err
	}
	sent := &Sent{ID: id, agent: a, effective: effective, expiry: ic.Time(c.Expiry)}
	var out struct {
		Status      string `cbor:"status"`
		Certificate []byte `cbor:"certificate"`
		Code        uint8  `cbor:"reject_code"`
		Message     string `cbor:"reject_message"`
		ErrorCode   string `cbor:"error_code"`
	}
	status, err := a.roundTrip(ctx, http.MethodPost, "/api/v4/canister/"+effective.String()+"/call", raw, &out)
	var refused *HTTPError
	if errors.As(err, &refused) && refused.Status == http.StatusNotFound { // a node without v4
		status, err = a.roundTrip(ctx, http.MethodPost, "/api/v2/canister/"+effective.String()+"/call", raw, &out)
	}
	switch {
	case err != nil:
		return nil, err
	case status == http.StatusAccepted:
		return sent, nil
	case out.Status == "replied":
		if sent.cert, err = cert.Decode(out.Certificate); err != nil {
			return nil, err
		}
		if err := a.verify(sent.cert, effective); err != nil {
			return nil, err
		}
		return sent, nil
	}
	return nil, &Rejected{Class: ic.RejectCode(out.Code), Message: out.Message, ErrorCode: out.ErrorCode}
}

var (
	errPending = errors.New("the call has not ended")
	errAbsent  = fmt.Errorf("%w: the subnet does not know it", errPending)
	// ErrExpired says of a call that it was not executed, and never will be. It is
	// certified.
	ErrExpired = errors.New("the call has expired before it was executed")
)

// Wait returns the certified reply. It polls until ctx ends, or the subnet says at a time
// after the call's expiry that it knows nothing of it.
func (s *Sent) Wait(ctx context.Context) ([]byte, error) {
	c := s.cert
	for pause := pollFirst; ; pause = min(pause*2, pollMost) {
		if c != nil {
			reply, err := outcome(c, s.ID)
			if !errors.Is(err, errPending) {
				return reply, err
			}
			if at, e := c.Time(); e == nil && at > s.expiry && errors.Is(err, errAbsent) {
				return nil, fmt.Errorf("call %x: %w", s.ID, ErrExpired)
			}
		}
		if err := sleep(ctx, pause); err != nil {
			return nil, fmt.Errorf("call %x has not ended: %w", s.ID, err)
		}
		var err error
		if c, err = s.agent.ReadState(ctx, s.effective, hashtree.P("request_status", string(s.ID[:]))); err != nil {
			return nil, err
		}
	}
}

func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// outcome reads the status of a request from a verified certificate.
func outcome(c *cert.Certificate, id ic.RequestID) ([]byte, error) {
	field := func(name string) ([]byte, hashtree.Status) {
		return c.Tree.Lookup(hashtree.P("request_status", string(id[:]), name))
	}
	status, found := field("status")
	if found == hashtree.Unknown || found == hashtree.Error {
		return nil, fmt.Errorf("certificate does not tell the status of call %x", id)
	}
	switch string(status) {
	case "replied":
		reply, found := field("reply")
		if found != hashtree.Found {
			return nil, fmt.Errorf("certificate says that call %x replied, but shows no reply", id)
		}
		return reply, nil
	case "rejected":
		code, _ := field("reject_code")
		text, _ := field("reject_message")
		errorCode, _ := field("error_code")
		n, ok := cert.Natural(code)
		if !ok {
			return nil, fmt.Errorf("certificate says that call %x was rejected, but shows no code", id)
		}
		return nil, &Rejected{Class: ic.RejectCode(n), Message: string(text), ErrorCode: string(errorCode), Certified: true}
	case "done":
		return nil, fmt.Errorf("call %x ended, but its reply is no longer kept", id)
	}
	if found == hashtree.Absent {
		return nil, errAbsent
	}
	return nil, errPending // received, processing
}
