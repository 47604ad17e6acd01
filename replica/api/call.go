package api

import (
	"errors"
	"net/http"
	"time"

	"ashlar/replica/ic"
	"ashlar/replica/wire/cbor"
	"ashlar/replica/wire/cert"
	"ashlar/replica/wire/envelope"
	"ashlar/replica/wire/hashtree"
)

// writeReply is the answer to a v3 or v4 call that ended.
func writeReply(w http.ResponseWriter, c *cert.Certificate) error {
	raw := c.Encode()
	out := cbor.AppendHead(cbor.AppendTag(make([]byte, 0, len(raw)+64)), cbor.Map, 2)
	out = cbor.AppendText(cbor.AppendText(out, "status"), "replied")
	return writeBytes(w, cbor.AppendBytes(cbor.AppendText(out, "certificate"), raw))
}

// call answers POST .../call: 202 for accepted, 200 with a certificate (v3, v4),
// 200 with a rejection if the node itself refuses the message.
func (s *Server) call(sc scope) handler {
	return func(w http.ResponseWriter, r *http.Request) error {
		if _, err := s.ready(); err != nil {
			return err
		}
		url, err := s.target(r, sc)
		if err != nil {
			return err
		}
		e, _, err := s.request(r, envelope.Call, s.limits.IngressBytes)
		if err != nil {
			return err
		}
		if err := checkCallTarget(sc, url, e.Canister().Principal, e.Content.Method, e.Content.Arg); err != nil {
			return err
		}
		if !s.senders.enter(e.Sender()) {
			return ErrBusy
		}
		defer s.senders.leave(e.Sender())
		msg := e.Ingress()
		msg.Effective = ic.CanisterID{Principal: url}
		return s.submit(w, r, sc, e.Raw, msg)
	}
}

func (s *Server) submit(w http.ResponseWriter, r *http.Request, sc scope, raw []byte, msg *ic.Ingress) error {
	var done <-chan struct{}
	if sc.wait { // watch first: the answer may come before Submit returns
		var cancel func()
		done, cancel = s.node.Watch(msg.ID)
		defer cancel()
	}
	if err := s.node.Submit(r.Context(), raw, msg); err != nil {
		var refused *ic.UserError
		if !errors.As(err, &refused) {
			return err
		}
		status := "non_replicated_rejection"
		if !sc.wait {
			status = "" // v2 has no such field
		}
		return writeCBOR(w, rejectionOf(refused, status))
	}
	if sc.wait && s.await(r, done) {
		state := s.node.Certified()
		if c := s.certifyRequest(state, msg.ID, sc.shards); c != nil {
			return writeReply(w, c)
		}
	}
	w.WriteHeader(http.StatusAccepted)
	return nil
}

// await tells whether the request ended in time.
func (s *Server) await(r *http.Request, done <-chan struct{}) bool {
	timeout := time.NewTimer(s.limits.SyncWait)
	defer timeout.Stop()
	select {
	case <-done:
		return true
	case <-timeout.C:
	case <-r.Context().Done():
	case <-s.stop:
	}
	return false
}

// certifyRequest shows /request_status/<id> and /time, if the request ended.
func (s *Server) certifyRequest(state *Certified, id ic.RequestID, shards bool) *cert.Certificate {
	path := hashtree.P("request_status", string(id[:]))
	status, found := state.Tree.Lookup(append(path[:2:2], []byte("status")))
	if found != hashtree.Found || string(status) == "received" || string(status) == "processing" {
		return nil
	}
	return certify(state, []hashtree.Path{path}, shards)
}

// certify prunes the state to the paths, and always shows /time.
func certify(state *Certified, paths []hashtree.Path, shards bool) *cert.Certificate {
	paths = append(paths[:len(paths):len(paths)], hashtree.P("time"))
	c := &cert.Certificate{Tree: state.Tree.Witness(paths), Signature: state.Signature}
	if state.Delegation == nil {
		return c
	}
	if raw := state.Delegation(shards); raw != nil {
		d, err := cert.DecodeDelegation(raw)
		if err != nil {
			panic("api: the node's own delegation: " + err.Error())
		}
		c.Delegation = d
	}
	return c
}
