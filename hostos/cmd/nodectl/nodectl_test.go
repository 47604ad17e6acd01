package main

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"encoding/json"
	"io"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"ashlar/hostos/api"
	"ashlar/hostos/config"
	"ashlar/image/slots"
)

func nodectl(args ...string) (string, error) {
	var out bytes.Buffer
	err := run(context.Background(), args, &out)
	return out.String(), err
}

func TestAskedWrongly(t *testing.T) {
	for _, tc := range []struct {
		args []string
		says string
	}{
		{[]string{"stats"}, "no command"},
		{[]string{"status"}, "--url is missing"},
		{[]string{"status", "--url", "http://x", "more"}, "one word too many"},
		{[]string{"status", "--key", "x", "--url", "y"}, "not defined"},
		{[]string{"upgrade", "--url", "http://x", "--key", "k"}, "--bundle is missing"},
		{[]string{"reboot", "--url", "http://x"}, "--key is missing"},
		{[]string{"config", "check"}, "say what to do"},
		{[]string{"keygen"}, "say where"},
	} {
		if _, err := nodectl(tc.args...); exitCode(err) != 2 || !strings.Contains(err.Error(), tc.says) {
			t.Errorf("%v: exit %d, %v", tc.args, exitCode(err), err)
		}
	}
}

func TestConfigCheckNamesTheLine(t *testing.T) {
	file := filepath.Join(t.TempDir(), "node.conf")
	if err := os.WriteFile(file, []byte("name = a\nipv4 = 10.0.0.5/24\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := nodectl("config", "check", file)
	if exitCode(err) != 1 || !strings.Contains(err.Error(), "line 2") || !strings.Contains(err.Error(), "write: ipv4_gateway = 10.0.0.1") {
		t.Errorf("exit %d: %v", exitCode(err), err)
	}
	if err := os.WriteFile(file, []byte("name = a\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := nodectl("config", "explain", file); err != nil || !strings.Contains(out, "node a on network dev") {
		t.Errorf("%q %v", out, err)
	}
}

type node struct{ stopped, restarted string }

func (n *node) Status() api.Status {
	return api.Status{Name: "lab", Health: api.Health{Healthy: true, Height: 3}}
}
func (n *node) Identity(context.Context) (any, error) { return nil, api.ErrUnavailable }
func (n *node) Activate(context.Context, json.RawMessage) (any, error) {
	return nil, api.ErrUnavailable
}
func (n *node) Attest(context.Context, []byte) (any, error)              { return nil, api.ErrUnavailable }
func (n *node) Upgrade(context.Context, io.Reader) (api.Upgraded, error) { return api.Upgraded{}, nil }
func (n *node) Restart(why string)                                       { n.restarted = why }
func (n *node) Shutdown(why string)                                      { n.stopped = why }

func TestAKeyThatKeygenMadeStopsTheNode(t *testing.T) {
	file := filepath.Join(t.TempDir(), "admin.key")
	out, err := nodectl("keygen", file)
	if err != nil {
		t.Fatal(err)
	}
	_, line, _ := strings.Cut(out, "admin_key = ")
	pub, err := config.ParseAdminKey(strings.TrimSpace(line))
	if err != nil {
		t.Fatalf("%q: %v", out, err)
	}
	if _, err := nodectl("keygen", file); exitCode(err) != 1 {
		t.Error("a key was overwritten")
	}
	n := &node{}
	srv := httptest.NewServer(api.Handler(n, []ed25519.PublicKey{pub}))
	defer srv.Close()
	if out, err := nodectl("status", "--url", srv.URL); err != nil || !strings.Contains(out, "healthy at height 3") {
		t.Errorf("%q %v", out, err)
	}
	if _, err := nodectl("shutdown", "--url", srv.URL, "--key", file); err != nil || n.stopped == "" {
		t.Errorf("%v, stopped %q", err, n.stopped)
	}
	other := httptest.NewServer(api.Handler(n, nil))
	defer other.Close()
	if _, err := nodectl("reboot", "--url", other.URL, "--key", file); exitCode(err) != 1 || !strings.Contains(err.Error(), "no administrator") || n.restarted != "" {
		t.Errorf("%v", err)
	}
}

func TestTheEndOfATrial(t *testing.T) {
	up := api.Upgraded{Version: "2.0.0", Slot: "b"}
	record := func(confirmed slots.Slot, state slots.State, reason string) slots.Record {
		return slots.Record{Confirmed: confirmed, Slots: map[slots.Slot]slots.Entry{slots.A: {State: slots.Good}, slots.B: {State: state, Version: "2.0.0", Reason: reason}}}
	}
	for _, tc := range []struct {
		name string
		s    api.Status
		over bool
		fail string
	}{
		{"not restarted yet", api.Status{Version: "1.0.0", Slot: slots.A, Slots: record(slots.A, slots.Armed, "")}, false, ""},
		{"on trial", api.Status{Version: "2.0.0", Slot: slots.B, Slots: record(slots.A, slots.Trial, "")}, false, ""},
		{"about to go back", api.Status{Version: "2.0.0", Slot: slots.B, Slots: record(slots.A, slots.Failed, "x")}, false, ""},
		{"confirmed", api.Status{Version: "2.0.0", Slot: slots.B, Ready: true, Slots: record(slots.B, slots.Good, "")}, true, ""},
		{"back", api.Status{Version: "1.0.0", Slot: slots.A, Slots: record(slots.A, slots.Failed, "it hung")}, true, "it hung"},
	} {
		over, err := outcome(tc.s, up)
		if over != tc.over || (err != nil) != (tc.fail != "") || err != nil && !strings.Contains(err.Error(), tc.fail) {
			t.Errorf("%s: %v %v", tc.name, over, err)
		}
	}
}
