package api

import (
	"errors"
	"net/http"

	"ashlar/replica/ic"
	"ashlar/replica/wire/envelope"
	"ashlar/replica/wire/reprhash"
)

// queryReply is the body of an answered query, replied or rejected.
type queryReply struct {
	Status     string          `cbor:"status"`
	Reply      *replyArg       `cbor:"reply,omitempty"`
	Code       uint8           `cbor:"reject_code,omitempty"`
	Message    *string         `cbor:"reject_message,omitempty"`
	ErrorCode  string          `cbor:"error_code,omitempty"`
	Signatures []nodeSignature `cbor:"signatures"`
}

type replyArg struct {
	Arg []byte `cbor:"arg"`
}

type nodeSignature struct {
	Timestamp uint64 `cbor:"timestamp"`
	Signature []byte `cbor:"signature"`
	Identity  []byte `cbor:"identity"`
}

// query answers POST .../query.
func (s *Server) query(sc scope) handler {
	return func(w http.ResponseWriter, r *http.Request) error {
		if _, err := s.ready(); err != nil {
			return err
		}
		url, err := s.target(r, sc)
		if err != nil {
			return err
		}
		e, _, err := s.request(r, envelope.Query, int(s.limits.BodyBytes))
		if err != nil {
			return err
		}
		if err := checkQueryTarget(sc, url, e.Canister().Principal, e.Content.Method, e.Content.Arg); err != nil {
			return err
		}
		reply, err := s.node.Query(r.Context(), e.Query())
		var refused *ic.UserError
		if errors.As(err, &refused) {
			reply, err = ic.Reply{Reject: refused.Reject()}, nil
		}
		if err != nil {
			return err
		}
		return writeCBOR(w, s.sign(e.ID, reply))
	}
}

// sign adds the node's signature: "Request: Query call", verify_node_signatures.
func (s *Server) sign(id ic.RequestID, reply ic.Reply) queryReply {
	now := uint64(s.node.Now())
	var out queryReply
	if rej := reply.Reject; rej != nil {
		out = queryReply{Status: "rejected", Code: uint8(rej.Class), Message: &rej.Message, ErrorCode: errorCode(rej.Code)}
	} else {
		data := reply.Data
		if data == nil {
			data = []byte{}
		}
		out = queryReply{Status: "replied", Reply: &replyArg{data}}
	}
	sig := s.node.SignResponse(out.signedBytes(id, now))
	out.Signatures = []nodeSignature{{now, sig, s.node.NodeID().Bytes()}}
	return out
}

func (q *queryReply) signedBytes(id ic.RequestID, now uint64) []byte {
	var m reprhash.Map
	m.Text("status", q.Status)
	m.Nat("timestamp", now)
	m.Bytes("request_id", id[:])
	if q.Reply != nil {
		var arg reprhash.Map
		arg.Bytes("arg", q.Reply.Arg)
		m.Add("reply", arg.Sum())
	} else {
		m.Nat("reject_code", uint64(q.Code))
		m.Text("reject_message", *q.Message)
		if q.ErrorCode != "" {
			m.Text("error_code", q.ErrorCode)
		}
	}
	h := m.Sum()
	return append([]byte("\x0bic-response"), h[:]...)
}
