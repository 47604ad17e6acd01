package api_test

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"ashlar/replica/api"
	"ashlar/replica/api/apitest"
	"ashlar/replica/crypto/bls"
	"ashlar/replica/crypto/usersig"
	"ashlar/replica/ic"
	"ashlar/replica/wire/candid"
	"ashlar/replica/wire/cbor"
	"ashlar/replica/wire/cert"
	"ashlar/replica/wire/envelope"
	"ashlar/replica/wire/hashtree"
	"ashlar/replica/wire/reprhash"
)

// user signs requests for itself.
type user struct{ *usersig.Identity }

func (user) Delegations() ([]byte, []envelope.SignedDelegation) { return nil, nil }

func newUser(n byte) user {
	i, err := usersig.Ed25519(bytes.Repeat([]byte{n}, 32))
	if err != nil {
		panic(err)
	}
	return user{i}
}

func (u user) principal() ic.Principal { return ic.SelfAuthenticating(u.PublicKey()) }

type anonymous struct{}

func (anonymous) PublicKey() []byte                                  { return nil }
func (anonymous) Sign([]byte) ([]byte, error)                        { return nil, nil }
func (anonymous) Delegations() ([]byte, []envelope.SignedDelegation) { return nil, nil }

// limited is a user whose key is reached by a delegation.
type limited struct {
	user
	root  user
	limit envelope.Delegation
}

func (l limited) Delegations() ([]byte, []envelope.SignedDelegation) {
	d := l.limit
	d.PubKey, d.Expiration = l.PublicKey(), 1<<62
	sig, _ := l.root.Sign(d.SignedBytes())
	return l.root.PublicKey(), []envelope.SignedDelegation{{Delegation: d, Signature: sig}}
}

func message(n *apitest.Node, kind, method string, to ic.Principal, arg []byte) envelope.Content {
	return envelope.Content{Type: kind, Expiry: uint64(n.Clock) + 60e9, Canister: to.Bytes(), Method: method, Arg: arg}
}

func seal(t testing.TB, c envelope.Content, by envelope.Signer) ([]byte, ic.RequestID) {
	t.Helper()
	raw, id, err := envelope.Seal(c, by)
	if err != nil {
		t.Fatal(err)
	}
	return raw, id
}

func post(h http.Handler, path string, body []byte) *httptest.ResponseRecorder {
	return postAs(h, path, body, "application/cbor")
}

func postAs(h http.Handler, path string, body []byte, content ...string) *httptest.ResponseRecorder {
	w, r := httptest.NewRecorder(), httptest.NewRequest("POST", path, bytes.NewReader(body))
	r.Header["Content-Type"] = content
	h.ServeHTTP(w, r)
	return w
}

func verifyBLS(der, message, sig []byte) error {
	k, err := bls.ParseDER(der)
	if err != nil {
		return err
	}
	return k.Verify(message, sig)
}

func decode[T any](t testing.TB, w *httptest.ResponseRecorder) (out T) {
	t.Helper()
	if w.Code != http.StatusOK || w.Header().Get("Content-Type") != "application/cbor" {
		t.Fatalf("status %d, %s: %s", w.Code, w.Header().Get("Content-Type"), w.Body)
	}
	if !bytes.HasPrefix(w.Body.Bytes(), []byte{0xd9, 0xd9, 0xf7}) {
		t.Error("the body does not start with tag 55799")
	}
	if err := cbor.Unmarshal(w.Body.Bytes(), &out); err != nil {
		t.Fatal(err)
	}
	return out
}

type callBody struct {
	Status    string `cbor:"status"`
	Cert      []byte `cbor:"certificate"`
	Code      uint64 `cbor:"reject_code"`
	Message   string `cbor:"reject_message"`
	ErrorCode string `cbor:"error_code"`
}

var canisterPath = "/canister/" + apitest.Canister.String()

// Each form of call, answered.
func TestCall(t *testing.T) {
	for _, delegated := range []bool{false, true} {
		for _, version := range []string{"v2", "v3", "v4"} {
			for _, method := range []string{"echo", "reject", "trap", "refuse"} {
				n := apitest.New(delegated)
				h := api.New(n, api.Config{})
				raw, id := seal(t, message(n, envelope.Call, method, apitest.Canister.Principal, []byte("hello")), newUser(1))
				w := post(h, "/api/"+version+canisterPath+"/call", raw)
				name := version + " " + method
				switch {
				case method == "refuse":
					b := decode[callBody](t, w)
					want := callBody{"non_replicated_rejection", nil, 4, "the canister refused refuse", "IC0406"}
					if version == "v2" {
						want.Status = ""
					}
					if b.Status != want.Status || b.Code != want.Code || b.Message != want.Message || b.ErrorCode != want.ErrorCode {
						t.Errorf("%s: %+v", name, b)
					}
				case version == "v2":
					if w.Code != http.StatusAccepted || w.Body.Len() > 0 {
						t.Errorf("%s: status %d %q", name, w.Code, w.Body)
					}
				default:
					b := decode[callBody](t, w)
					c := checkCertificate(t, n, b.Cert, version == "v4")
					checkStatus(t, name, c, id, method)
				}
				if method != "refuse" && (len(n.Submitted) != 1 || n.Submitted[0].ID != id || n.Submitted[0].Sender != newUser(1).principal() ||
					n.Submitted[0].Effective != apitest.Canister || n.Submitted[0].Bytes != len(raw)) {
					t.Errorf("%s: submitted %+v", name, n.Submitted)
				}
			}
		}
	}
}

// checkCertificate verifies it, and that the delegation has the form of the endpoint.
func checkCertificate(t *testing.T, n *apitest.Node, raw []byte, shards bool) *cert.Certificate {
	t.Helper()
	c, err := cert.Decode(raw)
	if err != nil {
		t.Fatal(err)
	}
	if err := c.VerifyFor(apitest.Canister, n.RootKey(), verifyBLS); err != nil {
		t.Error(err)
	}
	if at, err := c.Time(); err != nil || at != n.Clock {
		t.Errorf("time is %d, %v", at, err)
	}
	if n.Delegated {
		inner, err := c.Inner()
		if err != nil {
			t.Fatal(err)
		}
		id := string(n.SubnetID().Principal)
		_, old := inner.Tree.Lookup(hashtree.P("subnet", id, "canister_ranges"))
		_, sharded := inner.Tree.Subtree(hashtree.P("canister_ranges", id, string(ic.CanisterIDFromUint64(0).Principal)))
		if (sharded == hashtree.Found) != shards || (old == hashtree.Found) == shards {
			t.Errorf("the delegation shows the ranges as shards: %v, in one piece: %v", sharded, old)
		}
	} else if c.Delegation != nil {
		t.Error("the root subnet has a delegation")
	}
	return c
}

func checkStatus(t *testing.T, name string, c *cert.Certificate, id ic.RequestID, method string) {
	t.Helper()
	want := map[string]string{"status": "rejected", "reject_code": "\x04", "error_code": "IC0406", "reject_message": "rejected"}
	switch method {
	case "echo":
		want = map[string]string{"status": "replied", "reply": "hello"}
	case "trap":
		want = map[string]string{"status": "rejected", "reject_code": "\x05", "error_code": "IC0503", "reject_message": "trapped"}
	}
	for field, v := range want {
		if got, s := c.Tree.Lookup(hashtree.P("request_status", string(id[:]), field)); s != hashtree.Found || string(got) != v {
			t.Errorf("%s: %s is %q, %v", name, field, got, s)
		}
	}
}

// A call that does not end in time is accepted, and polled for.
func TestCallWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := apitest.New(false)
		n.Hold = true
		h := api.New(n, api.Config{})
		raw, id := seal(t, message(n, envelope.Call, "echo", apitest.Canister.Principal, []byte("hello")), newUser(1))
		start := time.Now()
		w := post(h, "/api/v4"+canisterPath+"/call", raw)
		if w.Code != http.StatusAccepted || w.Body.Len() > 0 || time.Since(start) != 10*time.Second {
			t.Errorf("status %d after %v", w.Code, time.Since(start))
		}
		go func() {
			time.Sleep(3 * time.Second)
			n.Release()
		}()
		start = time.Now()
		w = post(h, "/api/v4"+canisterPath+"/call", raw) // the same call again
		checkStatus(t, "again", checkCertificate(t, n, decode[callBody](t, w).Cert, true), id, "echo")
		if time.Since(start) != 3*time.Second {
			t.Errorf("answered after %v", time.Since(start))
		}
	})
}

func TestEffectiveCanister(t *testing.T) {
	type target struct {
		Canister ic.Principal `candid:"canister_id"`
	}
	type chunked struct {
		Target ic.Principal `candid:"target_canister"`
		Wasm   []byte       `candid:"arg"`
	}
	me, other := apitest.Canister.Principal, ic.CanisterIDFromUint64(9).Principal
	subnet := "SUBNET"
	for _, c := range []struct {
		path   string
		to     ic.Principal
		method string
		arg    []byte
		ok     bool
	}{
		{canisterPath, me, "echo", nil, true},
		{canisterPath, other, "echo", nil, false},
		{canisterPath, ic.Management, "create_canister", nil, true},
		{canisterPath, ic.Management, "provisional_create_canister_with_cycles", nil, true},
		{"/canister/aaaaa-aa", ic.Management, "provisional_create_canister_with_cycles", nil, true},
		{"/canister/" + ic.CanisterIDFromUint64(0x100000).String(), ic.Management, "provisional_create_canister_with_cycles", nil, false},
		{canisterPath, ic.Management, "start_canister", candid.Marshal(target{me}), true},
		{canisterPath, ic.Management, "start_canister", candid.Marshal(target{other}), false},
		// About no canister: the machine has an error for them that clients understand.
		{canisterPath, ic.Management, "start_canister", candid.Marshal(chunked{me, nil}), true},
		{canisterPath, ic.Management, "start_canister", []byte("DIDL"), true},
		{canisterPath, ic.Management, "raw_rand", candid.Marshal(), true},
		{canisterPath, ic.Management, "install_chunked_code", candid.Marshal(target{me}), true},
		{canisterPath, ic.Management, "install_chunked_code", candid.Marshal(chunked{me, make([]byte, 2<<20-1000)}), true},
		{canisterPath, ic.Management, "install_chunked_code", candid.Marshal(chunked{other, nil}), false},
		{"/canister/aaaaa-aa", ic.Management, "start_canister", candid.Marshal(target{me}), false},
		{"/canister/" + ic.CanisterIDFromUint64(0x100000).String(), ic.CanisterIDFromUint64(0x100000).Principal, "echo", nil, false},
		{"/canister/x", me, "echo", nil, false},
		{"/subnet/" + subnet, ic.Management, "create_canister", nil, true},
		{"/subnet/" + subnet, ic.Management, "provisional_create_canister_with_cycles", nil, false},
		{"/subnet/" + subnet, me, "echo", nil, false},
		{"/subnet/" + apitest.Other.String(), ic.Management, "create_canister", nil, false},
	} {
		n := apitest.New(true)
		path := strings.Replace(c.path, subnet, n.SubnetID().String(), 1)
		raw, _ := seal(t, message(n, envelope.Call, c.method, c.to, c.arg), newUser(1))
		w := post(api.New(n, api.Config{}), "/api/v4"+path+"/call", raw)
		if c.ok != (w.Code == http.StatusOK) || !c.ok && w.Code != http.StatusBadRequest {
			t.Errorf("%s of %s at %s: %d %s", c.method, c.to, c.path, w.Code, w.Body)
		}
	}
	for _, c := range []struct {
		path   string
		to     ic.Principal
		method string
		arg    []byte
		ok     bool
	}{
		{"/subnet/" + subnet, ic.Management, "list_canisters", nil, true},
		{"/subnet/" + subnet, ic.Management, "canister_status", candid.Marshal(target{me}), false},
		{canisterPath, ic.Management, "list_canisters", nil, true},
		{canisterPath, ic.Management, "canister_status", candid.Marshal(target{me}), true},
		{canisterPath, ic.Management, "canister_status", candid.Marshal(target{other}), false},
		{canisterPath, other, "echo", nil, false},
	} {
		n := apitest.New(true)
		path := strings.Replace(c.path, subnet, n.SubnetID().String(), 1)
		raw, _ := seal(t, message(n, envelope.Query, c.method, c.to, c.arg), newUser(1))
		w := post(api.New(n, api.Config{}), "/api/v3"+path+"/query", raw)
		if c.ok != (w.Code == http.StatusOK) || !c.ok && w.Code != http.StatusBadRequest {
			t.Errorf("query %s of %s at %s: %d %s", c.method, c.to, c.path, w.Code, w.Body)
		}
	}
}

type queryBody struct {
	callBody
	Reply *struct {
		Arg []byte `cbor:"arg"`
	} `cbor:"reply"`
	Signatures []struct {
		Timestamp uint64 `cbor:"timestamp"`
		Signature []byte `cbor:"signature"`
		Identity  []byte `cbor:"identity"`
	} `cbor:"signatures"`
}

// The signature of a query is the one that the specification's
// verify_node_signatures accepts, with the key that the tree shows.
func TestQuery(t *testing.T) {
	n := apitest.New(true)
	h := api.New(n, api.Config{})
	for _, version := range []string{"v2", "v3"} {
		for _, method := range []string{"echo", "empty", "reject"} {
			arg := []byte("hello")
			if method == "empty" {
				arg = []byte{}
			}
			raw, id := seal(t, message(n, envelope.Query, method, apitest.Canister.Principal, arg), anonymous{})
			b := decode[queryBody](t, post(h, "/api/"+version+canisterPath+"/query", raw))
			var m reprhash.Map
			m.Text("status", b.Status)
			if method == "reject" {
				if b.Status != "rejected" || b.Code != 4 || b.ErrorCode != "IC0406" || b.Message != "rejected" {
					t.Errorf("%+v", b)
				}
				m.Nat("reject_code", b.Code)
				m.Text("reject_message", b.Message)
				m.Text("error_code", b.ErrorCode)
			} else {
				if b.Status != "replied" || b.Reply == nil || !bytes.Equal(b.Reply.Arg, arg) {
					t.Fatalf("%s: %+v", method, b)
				}
				var reply reprhash.Map
				reply.Bytes("arg", b.Reply.Arg)
				m.Add("reply", reply.Sum())
			}
			if len(b.Signatures) != 1 || string(b.Signatures[0].Identity) != string(n.NodeID().Principal) {
				t.Fatalf("signatures: %+v", b.Signatures)
			}
			m.Nat("timestamp", b.Signatures[0].Timestamp)
			m.Bytes("request_id", id[:])
			sum := m.Sum()
			key, _ := n.Certified().Tree.Lookup(hashtree.P("subnet", string(n.SubnetID().Principal), "node", string(b.Signatures[0].Identity), "public_key"))
			if !ed25519.Verify(key[12:], append([]byte("\x0bic-response"), sum[:]...), b.Signatures[0].Signature) {
				t.Errorf("%s %s: the signature is wrong", version, method)
			}
		}
	}
	n.QueryError = ic.Errorf(ic.CanisterNotFound, "no canister")
	raw, _ := seal(t, message(n, envelope.Query, "echo", apitest.Canister.Principal, nil), anonymous{})
	if b := decode[queryBody](t, post(h, "/api/v3"+canisterPath+"/query", raw)); b.Status != "rejected" || b.Code != 3 || b.ErrorCode != "IC0301" || len(b.Signatures) != 1 {
		t.Errorf("an error: %+v", b)
	}
	n.QueryError = errors.New("the disk is gone")
	if w := post(h, "/api/v3"+canisterPath+"/query", raw); w.Code != 500 || strings.Contains(w.Body.String(), "disk") {
		t.Errorf("an error inside: %d %s", w.Code, w.Body)
	}
}

func TestStatus(t *testing.T) {
	n := apitest.New(false)
	get := func(h http.Handler) (out struct {
		RootKey []byte `cbor:"root_key"`
		Version string `cbor:"impl_version"`
		Health  string `cbor:"replica_health_status"`
		Height  uint64 `cbor:"certified_height"`
	}) {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest("GET", "/api/v2/status", nil))
		if err := cbor.Unmarshal(w.Body.Bytes(), &out); err != nil || w.Code != 200 {
			t.Fatal(w.Code, err)
		}
		return out
	}
	s := get(api.New(n, api.Config{Version: "1.2"}))
	if !bytes.Equal(s.RootKey, n.RootKey()) || s.Version != "1.2" || s.Health != "healthy" || s.Height != 1 {
		t.Errorf("%+v", s)
	}
	if s := get(api.New(n, api.Config{HideRootKey: true})); s.RootKey != nil {
		t.Error("the root key is shown")
	}
	h := api.New(n, api.Config{})
	health := func() int {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest("GET", "/health", nil))
		return w.Code
	}
	if c := health(); c != http.StatusNoContent {
		t.Errorf("health: %d", c)
	}
	n.Forget()
	n.Health = "waiting_for_certified_state"
	if c := health(); c != http.StatusServiceUnavailable {
		t.Errorf("health without a state: %d", c)
	}
	if s := get(h); s.Health != n.Health || s.Height != 0 {
		t.Errorf("%+v", s)
	}
	raw, _ := seal(t, message(n, envelope.Query, "echo", apitest.Canister.Principal, nil), anonymous{})
	if w := post(h, "/api/v3"+canisterPath+"/query", raw); w.Code != 503 || !strings.Contains(w.Body.String(), n.Health) {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}

// A request says that it is CBOR, or it is not read, as on mainnet.
func TestContentType(t *testing.T) {
	n := apitest.New(false)
	h := api.New(n, api.Config{})
	sealed := func(kind string) []byte {
		raw, _ := seal(t, message(n, kind, "echo", apitest.Canister.Principal, nil), newUser(1))
		return raw
	}
	for _, c := range []struct {
		content []string
		ok      bool
	}{
		{[]string{"application/cbor"}, true}, {[]string{"Application/CBOR"}, true}, {[]string{"text/plain", "application/cbor"}, true},
		{nil, false}, {[]string{""}, false}, {[]string{"application/json"}, false}, {[]string{"application/cbor; charset=utf-8"}, false},
	} {
		for path, body := range map[string][]byte{"/api/v4" + canisterPath + "/call": sealed(envelope.Call), "/api/v3" + canisterPath + "/query": sealed(envelope.Query)} {
			w := postAs(h, path, body, c.content...)
			if refused := w.Code == 400 && w.Body.String() == "Unexpected content-type, expected application/cbor."; refused == c.ok {
				t.Errorf("%s as %q: %d %s", path, c.content, w.Code, w.Body)
			}
		}
	}
	if got := postAs(h, "/api/v2"+canisterPath+"/call", []byte("garbage")); got.Code != 400 || !strings.Contains(got.Body.String(), "unable_to_parse_cbor") {
		t.Errorf("what is no CBOR is seen first: %d %s", got.Code, got.Body)
	}
}

// Statuses that are not an endpoint's own answer.
func TestRefusals(t *testing.T) {
	n := apitest.New(false)
	h := api.New(n, api.Config{Limits: api.Limits{IngressBytes: 1 << 10, BodyBytes: 8 << 10}})
	call := func(size int) []byte {
		raw, _ := seal(t, message(n, envelope.Call, "echo", apitest.Canister.Principal, make([]byte, size)), newUser(1))
		return raw
	}
	late := message(n, envelope.Call, "echo", apitest.Canister.Principal, nil)
	late.Expiry = uint64(n.Clock) - 1
	expired, _ := seal(t, late, newUser(1))
	query, _ := seal(t, message(n, envelope.Query, "echo", apitest.Canister.Principal, nil), newUser(1))
	for _, c := range []struct {
		name, method, path string
		body               []byte
		status             int
		text               string
	}{
		{"a call above the limit", "POST", "/api/v2" + canisterPath + "/call", call(2 << 10), 413, "is larger than the max allowed 1024."},
		{"a body above the limit", "POST", "/api/v2" + canisterPath + "/query", call(9 << 10), 413, "error: payload_too_large\ndetails: Payload is too large: maximum body size is 8192 bytes."},
		{"garbage", "POST", "/api/v2" + canisterPath + "/call", []byte("garbage"), 400, "error: unable_to_parse_cbor\ndetails: "},
		{"nothing", "POST", "/api/v2" + canisterPath + "/call", nil, 400, "parse"},
		{"a query as call", "POST", "/api/v2" + canisterPath + "/call", query, 400, "Could not parse body as call message: "},
		{"a call as query", "POST", "/api/v2" + canisterPath + "/query", call(0), 400, "Malformed request: "},
		{"an expired call", "POST", "/api/v2" + canisterPath + "/call", expired, 400, "Invalid request expiry: "},
		{"GET of a call", "GET", "/api/v2" + canisterPath + "/call", nil, 405, ""},
		{"POST of the status", "POST", "/api/v2/status", nil, 405, ""},
		{"an endpoint that is not there", "POST", "/api/v5" + canisterPath + "/call", call(0), 404, ""},
		{"the subnet form of a v2 call", "POST", "/api/v2/subnet/" + n.SubnetID().String() + "/call", call(0), 404, ""},
		{"the subnet form of a v3 call", "POST", "/api/v3/subnet/" + n.SubnetID().String() + "/call", call(0), 404, ""},
		{"the subnet form of a v2 query", "POST", "/api/v2/subnet/" + n.SubnetID().String() + "/query", query, 404, ""},
		{"v4 query", "POST", "/api/v4" + canisterPath + "/query", query, 404, ""},
		{"another subnet", "POST", "/api/v3/subnet/" + apitest.Other.String() + "/read_state", nil, 400, "error: subnet_not_found\ndetails: The specified subnet cannot be found."},
		{"another subnet's canister", "POST", "/api/v2/canister/" + apitest.Other.String() + "/query", query, 400, "error: canister_not_found\ndetails: The specified canister does not exist."},
		{"an upper-case id", "POST", "/api/v2/canister/" + strings.ToUpper(apitest.Canister.String()) + "/call", call(0), 400, "error: malformed_request\ndetails: "},
	} {
		w, r := httptest.NewRecorder(), httptest.NewRequest(c.method, c.path, bytes.NewReader(c.body))
		r.Header.Set("Content-Type", "application/cbor")
		h.ServeHTTP(w, r)
		text := w.Body.String()
		if w.Code != c.status || !strings.Contains(text, c.text) {
			t.Errorf("%s: %d %s", c.name, w.Code, text)
		}
		if w.Header().Get("Access-Control-Allow-Origin") != "*" {
			t.Errorf("%s: a browser cannot read the answer", c.name)
		}
		if c.name == "an expired call" && !strings.HasPrefix(text, c.text) {
			t.Errorf("agent-js does not know the text %q", text)
		}
	}
	if len(n.Submitted) > 0 {
		t.Error("a refused call was submitted")
	}
}

func TestPreflight(t *testing.T) {
	h := api.New(apitest.New(false), api.Config{})
	r := httptest.NewRequest("OPTIONS", "/api/v4"+canisterPath+"/call", nil)
	r.Header.Set("Origin", "http://localhost:3000")
	r.Header.Set("Access-Control-Request-Method", "POST")
	r.Header.Set("Access-Control-Request-Headers", "content-type")
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	if w.Code != 204 || !strings.Contains(w.Header().Get("Access-Control-Allow-Methods"), "POST") ||
		!strings.Contains(w.Header().Get("Access-Control-Allow-Headers"), "Content-Type") || w.Header().Get("Access-Control-Allow-Origin") != "*" {
		t.Errorf("%d %v", w.Code, w.Header())
	}
}

func TestBusy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := apitest.New(false)
		n.Hold = true
		h := api.New(n, api.Config{Limits: api.Limits{Calls: 3, PerSender: 2}})
		send := func(by user, nonce byte) int {
			m := message(n, envelope.Call, "echo", apitest.Canister.Principal, nil)
			m.Nonce = []byte{nonce}
			raw, _ := seal(t, m, by)
			w := post(h, "/api/v4"+canisterPath+"/call", raw)
			if w.Code == 429 && w.Header().Get("Retry-After") == "" {
				t.Error("429 without Retry-After")
			}
			return w.Code
		}
		codes := make(chan int, 9)
		for i := range 2 {
			go func() { codes <- send(newUser(1), byte(i)) }()
		}
		synctest.Wait()
		if c := send(newUser(1), 2); c != 429 {
			t.Errorf("a third call of one sender: %d", c)
		}
		go func() { codes <- send(newUser(2), 0) }()
		synctest.Wait()
		if c := send(newUser(3), 0); c != 429 {
			t.Errorf("a fourth call: %d", c)
		}
		n.Release()
		for range 3 {
			if c := <-codes; c != 200 {
				t.Errorf("a call under way: %d", c)
			}
		}
		n.SubmitError = api.ErrBusy
		if c := send(newUser(3), 1); c != 429 {
			t.Errorf("a full pool: %d", c)
		}
	})
}

// Run stops when its context ends: calls that wait are answered.
func TestRunStops(t *testing.T) {
	n := apitest.New(false)
	n.Hold = true
	seen := make(chan int, 4)
	s := api.New(n, api.Config{Observe: func(pattern string, status int, _ time.Duration) {
		if pattern != "POST /api/v4/canister/{id}/call" {
			t.Errorf("pattern is %q", pattern)
		}
		seen <- status
	}})
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx, l) }()
	raw, id := seal(t, message(n, envelope.Call, "echo", apitest.Canister.Principal, nil), newUser(1))
	got := make(chan int, 1)
	go func() {
		resp, err := http.Post("http://"+l.Addr().String()+"/api/v4"+canisterPath+"/call", "application/cbor", bytes.NewReader(raw))
		if err != nil {
			got <- 0
			return
		}
		resp.Body.Close()
		got <- resp.StatusCode
	}()
	n.AwaitSubmit(id)
	cancel()
	if c := <-got; c != http.StatusAccepted {
		t.Errorf("the call under way got %d", c)
	}
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if c := <-seen; c != http.StatusAccepted {
		t.Errorf("observed %d", c)
	}
}
