package agent

import (
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"net/http"
	"time"

	"ashlar/replica/crypto/eddsa"
	"ashlar/replica/crypto/usersig"
	"ashlar/replica/ic"
	"ashlar/replica/wire/cert"
	"ashlar/replica/wire/envelope"
	"ashlar/replica/wire/hashtree"
	"ashlar/replica/wire/reprhash"
)

type queryReply struct {
	Status string `cbor:"status"`
	Reply  *struct {
		Arg []byte `cbor:"arg"`
	} `cbor:"reply"`
	Code       uint8   `cbor:"reject_code"`
	Message    string  `cbor:"reject_message"`
	ErrorCode  *string `cbor:"error_code"`
	Signatures []struct {
		Timestamp uint64 `cbor:"timestamp"`
		Signature []byte `cbor:"signature"`
		Identity  []byte `cbor:"identity"`
	} `cbor:"signatures"`
}

// Query runs a query method and returns its reply, signed by the node.
func (a *Agent) Query(ctx context.Context, canister ic.CanisterID, method string, arg []byte) ([]byte, error) {
	return a.QueryAt(ctx, canister, canister, method, arg)
}

// QueryAt is Query with an effective canister id.
func (a *Agent) QueryAt(ctx context.Context, effective, canister ic.CanisterID, method string, arg []byte) ([]byte, error) {
	raw, id, err := a.seal(&envelope.Content{Type: envelope.Query, Canister: canister.Bytes(), Method: method, Arg: arg})
	if err != nil {
		return nil, err
	}
	var out queryReply
	if _, err := a.roundTrip(ctx, http.MethodPost, "/api/v3/canister/"+effective.String()+"/query", raw, &out); err != nil {
		return nil, err
	}
	if !a.unsafe {
		if err := a.verifyQuery(ctx, effective, id, &out); err != nil {
			return nil, err
		}
	}
	switch {
	case out.Status == "replied" && out.Reply != nil:
		return out.Reply.Arg, nil
	case out.Status == "rejected":
		r := &Rejected{Class: ic.RejectCode(out.Code), Message: out.Message}
		if out.ErrorCode != nil {
			r.ErrorCode = *out.ErrorCode
		}
		return nil, r
	}
	return nil, fmt.Errorf("answer to a query has status %q and no reply", out.Status)
}

// verifyQuery is verify_node_signatures of the specification.
func (a *Agent) verifyQuery(ctx context.Context, effective ic.CanisterID, id ic.RequestID, q *queryReply) error {
	if len(q.Signatures) == 0 {
		return errors.New("answer to a query has no signature of a node")
	}
	for _, s := range q.Signatures {
		node, err := ic.PrincipalFromBytes(s.Identity)
		if err != nil {
			return fmt.Errorf("answer to a query: %w", err)
		}
		if age := a.now().Sub(time.Unix(0, int64(s.Timestamp))); age > certAge || age < -certAge {
			return fmt.Errorf("answer to a query was signed %s ago, the limit is %s", age.Round(time.Second), certAge)
		}
		key, err := a.nodeKey(ctx, effective, node)
		if err != nil {
			return err
		}
		if !eddsa.Verify(key, q.signedBytes(id, s.Timestamp), s.Signature) {
			return fmt.Errorf("answer to a query: the signature is not by node %s", node)
		}
	}
	return nil
}

func (q *queryReply) signedBytes(id ic.RequestID, at uint64) []byte {
	var m reprhash.Map
	m.Text("status", q.Status)
	m.Nat("timestamp", at)
	m.Bytes("request_id", id[:])
	if q.Reply != nil {
		var reply reprhash.Map
		reply.Bytes("arg", q.Reply.Arg)
		m.Add("reply", reply.Sum())
	} else {
		m.Nat("reject_code", uint64(q.Code))
		m.Text("reject_message", q.Message)
		if q.ErrorCode != nil {
			m.Text("error_code", *q.ErrorCode)
		}
	}
	h := m.Sum()
	return append([]byte("\x0bic-response"), h[:]...)
}

// nodeKey finds a node's key in a certificate of the canister's subnet.
func (a *Agent) nodeKey(ctx context.Context, effective ic.CanisterID, node ic.Principal) (ed25519.PublicKey, error) {
	a.mu.Lock()
	der := a.nodes[node]
	a.mu.Unlock()
	if der == nil {
		c, err := a.ReadState(ctx, effective, hashtree.P("subnet"))
		if err != nil {
			return nil, fmt.Errorf("keys of the nodes: %w", err)
		}
		if der, err = findNode(c, node); err != nil {
			return nil, err
		}
		a.mu.Lock()
		a.nodes[node] = der
		a.mu.Unlock()
	}
	raw := der[max(0, len(der)-ed25519.PublicKeySize):]
	if string(usersig.Ed25519Key(raw)) != string(der) {
		return nil, fmt.Errorf("key of node %s is not an Ed25519 key in DER", node)
	}
	return raw, nil
}

// findNode looks for the node in the subnet that made the certificate.
func findNode(c *cert.Certificate, node ic.Principal) ([]byte, error) {
	var key []byte
	subnets, _ := c.Tree.Subtree(hashtree.P("subnet"))
	subnets.Each(func(id []byte, fields *hashtree.Tree) {
		if c.Delegation != nil && string(id) != string(c.Delegation.SubnetID) {
			return
		}
		if k, s := fields.Lookup(hashtree.P("node", string(node), "public_key")); s == hashtree.Found {
			key = k
		}
	})
	if key == nil {
		return nil, fmt.Errorf("node %s, which signed the answer to a query, is not in the canister's subnet", node)
	}
	return key, nil
}
