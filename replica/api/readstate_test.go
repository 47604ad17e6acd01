package api_test

import (
	"net/http"
	"strings"
	"testing"

	"ashlar/replica/api"
	"ashlar/replica/api/apitest"
	"ashlar/replica/ic"
	"ashlar/replica/wire/cert"
	"ashlar/replica/wire/envelope"
	"ashlar/replica/wire/hashtree"
)

// world is a node with one call answered, and the people around it.
type world struct {
	*apitest.Node
	h       http.Handler
	id      ic.RequestID
	caller  user
	control user
}

func newWorld(t *testing.T, delegated bool) *world {
	t.Helper()
	w := &world{Node: apitest.New(delegated), caller: newUser(1), control: newUser(2)}
	w.Controllers = []ic.Principal{w.control.principal()}
	w.h = api.New(w.Node, api.Config{})
	raw, id := seal(t, message(w.Node, envelope.Call, "echo", apitest.Canister.Principal, []byte("hello")), w.caller)
	if r := post(w.h, "/api/v2"+canisterPath+"/call", raw); r.Code != 202 {
		t.Fatal(r.Code, r.Body)
	}
	w.id = id
	return w
}

// expand turns "/request_status/ID/status" into a path; words in capitals
// stand for ids.
func (w *world) expand(text string) hashtree.Path {
	if text == "" {
		return hashtree.Path{}
	}
	words := map[string]string{"ID": string(w.id[:]), "UNKNOWN": strings.Repeat("u", 32), "ME": string(apitest.Canister.Principal),
		"YOU": string(ic.CanisterIDFromUint64(2).Principal), "OWN": string(w.SubnetID().Principal), "OTHER": string(apitest.Other),
		"ROOT": string(w.RootSubnet().Principal), "NODE": string(w.NodeID().Principal), "BAD": "\xff\xfe"}
	var p hashtree.Path
	for _, l := range strings.Split(text[1:], "/") {
		if v, ok := words[l]; ok {
			l = v
		}
		p = append(p, []byte(l))
	}
	return p
}

// read asks for paths, separated by spaces, and returns the certificate or the refusal.
func (w *world) read(t *testing.T, url string, by envelope.Signer, paths string) (*cert.Certificate, int, string) {
	t.Helper()
	url = strings.NewReplacer("ME", apitest.Canister.String(), "OWN", w.SubnetID().String()).Replace(url)
	c := envelope.Content{Type: envelope.ReadState, Expiry: uint64(w.Clock) + 60e9}
	for _, p := range strings.Fields(paths) {
		c.Paths = append(c.Paths, w.expand(p))
	}
	raw, _ := seal(t, c, by)
	r := post(w.h, "/api/"+url+"/read_state", raw)
	if r.Code != 200 {
		return nil, r.Code, r.Body.String()
	}
	b := decode[callBody](t, r)
	shards := strings.HasPrefix(url, "v3")
	return checkCertificate(t, w.Node, b.Cert, shards), 200, ""
}

// Which path may be asked for where; the table of "Request: Read state".
func TestReadStatePaths(t *testing.T) {
	const c2, c3, s2, s3 = "v2/canister/ME", "v3/canister/ME", "v2/subnet/OWN", "v3/subnet/OWN"
	all := []string{c2, c3, s2, s3}
	for _, c := range []struct {
		paths string
		by    string
		ok    []string // the endpoints that allow it
		no    int      // what the others answer
	}{
		{"", "nobody", all, 0},
		{"/time", "nobody", all, 0},
		{"/time/x", "nobody", nil, 404},
		{"/", "nobody", nil, 404},
		{"/streams", "nobody", nil, 404},
		{"/metadata", "nobody", nil, 404},
		{"/api_boundary_nodes", "nobody", all, 0},
		{"/api_boundary_nodes/bn/domain", "nobody", all, 0},
		{"/api_boundary_nodes/bn/ipv4_address", "nobody", all, 0},
		{"/api_boundary_nodes/bn/port", "nobody", nil, 404},
		{"/canister_ranges/OWN", "nobody", []string{s2, s3}, 404},
		{"/canister_ranges/OTHER", "nobody", []string{s2, s3}, 404},
		{"/canister_ranges/OTHER /canister_ranges/OWN", "nobody", nil, 0},
		{"/canister_ranges", "nobody", nil, 404},
		{"/canister_ranges/OWN/x", "nobody", nil, 404},
		{"/subnet", "nobody", all, 0},
		{"/subnet/OTHER", "nobody", all, 0},
		{"/subnet/OTHER/public_key", "nobody", all, 0},
		{"/subnet/OTHER/type", "nobody", all, 0},
		{"/subnet/OTHER/type/x", "nobody", nil, 404},
		{"/subnet/OTHER/secret", "nobody", nil, 404},
		{"/subnet/OTHER/node", "nobody", all, 0},
		{"/subnet/OWN/node/NODE/public_key", "nobody", all, 0},
		{"/subnet/OWN/node/NODE/secret", "nobody", nil, 404},
		{"/subnet/OWN/canister_ranges", "nobody", []string{c2, s2}, 404},
		{"/subnet/ROOT/canister_ranges", "nobody", all, 0},
		{"/subnet/OWN/metrics", "nobody", []string{s2, s3}, 404},
		{"/subnet/OTHER/metrics", "nobody", nil, 404},
		{"/request_status/ID", "caller", []string{c2, c3}, 403},
		{"/request_status/ID/status /request_status/ID/reply", "caller", []string{c2, c3}, 403},
		{"/request_status/ID/secret", "caller", nil, 404},
		{"/request_status/ID", "nobody", nil, 403},
		{"/request_status/ID", "controller", nil, 403},
		{"/request_status/UNKNOWN", "nobody", all, 0},
		{"/request_status/UNKNOWN /request_status/ID", "caller", nil, 0},
		{"/request_status", "caller", nil, 404},
		{"/request_status/short", "caller", nil, 400},
		{"/canister/ME/module_hash", "nobody", []string{c2, c3}, 404},
		{"/canister/ME/controllers", "nobody", []string{c2, c3}, 404},
		{"/canister/ME/canister_creation_timestamp", "nobody", []string{c2, c3}, 404},
		{"/canister/ME/last_install_timestamp", "nobody", []string{c2, c3}, 404},
		{"/canister/ME/certified_data", "controller", nil, 404},
		{"/canister/ME", "controller", nil, 404},
		{"/canister/YOU/module_hash", "nobody", nil, 0},
		{"/canister/ME/metadata/candid:service", "nobody", []string{c2, c3}, 404},
		{"/canister/ME/metadata/none", "nobody", []string{c2, c3}, 404},
		{"/canister/ME/metadata/motoko:stable", "controller", []string{c2, c3}, 404},
		{"/canister/ME/metadata/motoko:stable", "caller", nil, 0},
		{"/canister/ME/metadata/BAD", "controller", nil, 0},
		{"/canister/ME/metadata", "controller", nil, 404},
	} {
		w := newWorld(t, true)
		by := map[string]envelope.Signer{"nobody": anonymous{}, "caller": w.caller, "controller": w.control}[c.by]
		for _, url := range all {
			want := c.no
			for _, ok := range c.ok {
				if url == ok {
					want = 200
				}
			}
			_, status, text := w.read(t, url, by, c.paths)
			if want == 0 && (status < 400 || status > 404) || want != 0 && status != want {
				t.Errorf("%s asks for %q at %s: %d %s, want %d", c.by, c.paths, url, status, text, want)
			}
		}
	}
}

// What a certificate shows, and what it must not.
func TestReadStateReveals(t *testing.T) {
	for _, c := range []struct {
		url, by, paths string
		shows, hides   string
	}{
		{"v3/canister/ME", "nobody", "", "/time", "/canister/ME/module_hash /subnet/OWN/type"},
		{"v3/canister/ME", "nobody", "/subnet", "/subnet/OWN/public_key /subnet/OTHER/public_key /subnet/OTHER/type /subnet/OWN/node/NODE/public_key /subnet/OWN/metrics /subnet/ROOT/canister_ranges",
			"/subnet/OTHER/metrics /subnet/OTHER/canister_ranges /subnet/OWN/canister_ranges"},
		{"v2/canister/ME", "nobody", "/subnet", "/subnet/OTHER/canister_ranges /subnet/OWN/canister_ranges", "/subnet/OTHER/metrics"},
		{"v3/subnet/OWN", "nobody", "/subnet/OTHER", "/subnet/OTHER/type", "/subnet/OWN/type /subnet/OTHER/metrics"},
		{"v3/subnet/OWN", "nobody", "/subnet/OTHER/node", "", "/subnet/OTHER/type"},
		{"v3/subnet/OWN", "nobody", "/canister_ranges/OTHER", "", "/subnet/OTHER/type"},
		{"v2/canister/ME", "caller", "/request_status/ID", "/request_status/ID/status /request_status/ID/reply", "/canister/ME/controllers"},
		{"v2/canister/ME", "caller", "/request_status/ID/status", "/request_status/ID/status", "/request_status/ID/reply"},
		{"v3/canister/ME", "nobody", "/canister/ME/metadata/candid:service", "/canister/ME/metadata/candid:service", "/canister/ME/metadata/motoko:stable /canister/ME/certified_data"},
	} {
		w := newWorld(t, true)
		by := map[string]envelope.Signer{"nobody": anonymous{}, "caller": w.caller}[c.by]
		got, status, text := w.read(t, c.url, by, c.paths)
		if status != 200 {
			t.Fatalf("%s at %s: %d %s", c.paths, c.url, status, text)
		}
		for _, p := range append(strings.Fields(c.shows), "/time") {
			if _, s := got.Tree.Lookup(w.expand(p)); s != hashtree.Found {
				t.Errorf("%q at %s does not show %s: %v", c.paths, c.url, p, s)
			}
		}
		for _, p := range strings.Fields(c.hides) {
			if _, s := got.Tree.Lookup(w.expand(p)); s == hashtree.Found {
				t.Errorf("%q at %s shows %s", c.paths, c.url, p)
			}
		}
	}
}

// What is not there is proved absent.
func TestReadStateProvesAbsence(t *testing.T) {
	for _, delegated := range []bool{false, true} {
		w := newWorld(t, delegated)
		for _, p := range []string{"/request_status/UNKNOWN", "/canister/ME/last_install_timestamp", "/canister/ME/metadata/none", "/subnet/nobody"} {
			c, status, text := w.read(t, "v3/canister/ME", anonymous{}, p)
			if status != 200 {
				t.Fatalf("%s: %d %s", p, status, text)
			}
			if _, s := c.Tree.Lookup(w.expand(p)); s != hashtree.Absent {
				t.Errorf("%s is %v", p, s)
			}
		}
	}
}

// A delegation limits which status may be read; the URL must be the call's.
func TestReadStatusThroughDelegation(t *testing.T) {
	w := newWorld(t, false)
	for _, c := range []struct {
		targets []ic.CanisterID
		status  int
	}{{nil, 200}, {[]ic.CanisterID{apitest.Canister}, 200}, {[]ic.CanisterID{ic.CanisterIDFromUint64(2)}, 403}} {
		by := limited{user: newUser(7), root: w.caller}
		for _, id := range c.targets {
			by.limit.Targets = append(by.limit.Targets, id.Bytes())
		}
		if _, status, text := w.read(t, "v2/canister/ME", by, "/request_status/ID"); status != c.status {
			t.Errorf("targets %v: %d %s", c.targets, status, text)
		}
	}
	if _, status, _ := w.read(t, "v2/canister/"+ic.CanisterIDFromUint64(2).String(), w.caller, "/request_status/ID"); status != 403 {
		t.Errorf("the URL of another canister: %d", status)
	}
}

func FuzzHandler(f *testing.F) {
	n := apitest.New(true)
	h := api.New(n, api.Config{})
	endpoints := []string{"/api/v2" + canisterPath + "/call", "/api/v3" + canisterPath + "/query", "/api/v3" + canisterPath + "/read_state",
		"/api/v3/subnet/" + n.SubnetID().String() + "/read_state"}
	for i, kind := range []string{envelope.Call, envelope.Query, envelope.ReadState, envelope.ReadState} {
		c := message(n, kind, "echo", apitest.Canister.Principal, nil)
		c.Paths = [][][]byte{{[]byte("subnet")}, {[]byte("request_status"), make([]byte, 32)}}
		for _, by := range []envelope.Signer{anonymous{}, newUser(1)} {
			raw, _ := seal(f, c, by)
			f.Add(i, raw)
		}
	}
	f.Fuzz(func(t *testing.T, i int, body []byte) {
		w := post(h, endpoints[uint(i)%uint(len(endpoints))], body)
		if w.Code >= 500 {
			t.Errorf("status %d: %s", w.Code, w.Body)
		}
	})
}
