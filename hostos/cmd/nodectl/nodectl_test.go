package main

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"ashlar/hardware/tpm"
	"ashlar/hostos/api"
	"ashlar/hostos/config"
	"ashlar/image/bundle"
	"ashlar/image/keys"
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

type node struct {
	stopped, restarted string
	refuses            error // every upgrade
	got                []byte
}

func (n *node) Status() api.Status {
	return api.Status{Name: "lab", Health: api.Health{Healthy: true, Height: 3}}
}
func (n *node) Identity(context.Context) (any, error) {
	return nil, fmt.Errorf("%w: this node runs unattested: %w", api.ErrUnavailable, tpm.ErrNoTPM)
}
func (n *node) Activate(context.Context, json.RawMessage) (any, error) {
	return nil, api.ErrUnavailable
}
func (n *node) Attest(context.Context, []byte) (any, error) { return nil, api.ErrUnavailable }
func (n *node) Upgrade(_ context.Context, r io.Reader) (api.Upgraded, error) {
	var err error
	n.got, err = io.ReadAll(r)
	return api.Upgraded{Version: "2.0.0", Slot: "b"}, errors.Join(err, n.refuses)
}
func (n *node) Restart(why string)  { n.restarted = why }
func (n *node) Shutdown(why string) { n.stopped = why }

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

// lab is a node, its API, and an administrator's key file.
func lab(t *testing.T) (*node, string, string) {
	t.Helper()
	key := filepath.Join(t.TempDir(), "admin.key")
	out, err := nodectl("keygen", key)
	if err != nil {
		t.Fatal(err)
	}
	_, line, _ := strings.Cut(out, "admin_key = ")
	pub, err := config.ParseAdminKey(strings.TrimSpace(line))
	if err != nil {
		t.Fatal(err)
	}
	n := &node{}
	srv := httptest.NewServer(api.Handler(n, []ed25519.PublicKey{pub}))
	t.Cleanup(srv.Close)
	return n, srv.URL, key
}

func TestARefusedBundleIsSaidAndTheNodeGoesOn(t *testing.T) {
	n, url, key := lab(t)
	file := filepath.Join(t.TempDir(), "bundle")
	if err := os.WriteFile(file, []byte("a bundle"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, why := range []error{bundle.ErrTruncated, bundle.ErrChanged, bundle.ErrOtherKey, bundle.ErrTooOld, bundle.ErrTooLarge} {
		n.refuses, n.restarted = fmt.Errorf("check release: %w: use another", why), ""
		_, err := nodectl("upgrade", "--url", url, "--bundle", file, "--key", key)
		if exitCode(err) != 1 || !strings.Contains(err.Error(), why.Error()+": use another") || !strings.Contains(err.Error(), "the node goes on with release") || n.restarted != "" {
			t.Errorf("exit %d, restarted %q: %v", exitCode(err), n.restarted, err)
		}
	}
	n.refuses = nil
	out, err := nodectl("upgrade", "--url", url, "--bundle", file, "--key", key, "--no-wait")
	if err != nil || string(n.got) != "a bundle" || n.restarted == "" || !strings.Contains(out, "written to slot b") {
		t.Errorf("%q %v", out, err)
	}
	if _, err := nodectl("upgrade", "--url", url, "--bundle", file+".none", "--key", key); exitCode(err) != 1 {
		t.Errorf("a bundle that is not there: %v", err)
	}
}

// release writes a small bundle, and the key that signed it beside it.
func release(t *testing.T) (file string, raw []byte) {
	t.Helper()
	dir := t.TempDir()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	pub, err := keys.EncodePublic(&key.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	_, err = bundle.Write(&b, bundle.Manifest{Version: "1.0.0", MinUpgradeFrom: "1.0.0", Floor: "1.0.0"}, []bundle.Source{
		{Name: "guest", Open: func() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader("guest")), nil }}}, key, dir)
	if err != nil {
		t.Fatal(err)
	}
	file = filepath.Join(dir, "bundle")
	if err := errors.Join(os.WriteFile(file, b.Bytes(), 0o600), os.WriteFile(filepath.Join(dir, releasePub), pub, 0o600)); err != nil {
		t.Fatal(err)
	}
	return file, b.Bytes()
}

var damages = map[string]func([]byte) []byte{
	"cut short": func(b []byte) []byte { return b[:len(b)-1] },
	"changed":   func(b []byte) []byte { b[len(b)-1] ^= 1; return b },
}

func TestAMachineWithoutATPMCannotBeEnrolled(t *testing.T) {
	_, url, _ := lab(t)
	file, raw := release(t)
	id := filepath.Join(t.TempDir(), "identity")
	_, err := nodectl("attest", "--url", url, "--bundle", file, "--enrol", id)
	if exitCode(err) != 1 || !strings.Contains(err.Error(), "this machine has no TPM 2.0") {
		t.Errorf("exit %d: %v", exitCode(err), err)
	}
	if _, err := os.Stat(id); err == nil {
		t.Error("an identity file was written all the same")
	}
	for name, damage := range damages {
		if err := os.WriteFile(file, damage(bytes.Clone(raw)), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := nodectl("attest", "--url", url, "--bundle", file, "--enrol", id); exitCode(err) != 1 || !strings.Contains(err.Error(), name) {
			t.Errorf("a bundle %s: %v", name, err)
		}
	}
}

func TestADamagedBundleIsNotSentWhereItsKeyIsKnown(t *testing.T) {
	n, url, key := lab(t)
	file, raw := release(t)
	for name, damage := range damages {
		if err := os.WriteFile(file, damage(bytes.Clone(raw)), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := nodectl("upgrade", "--url", url, "--bundle", file, "--key", key); exitCode(err) != 1 || !strings.Contains(err.Error(), name) || n.got != nil {
			t.Errorf("a bundle %s: %v, sent %d bytes", name, err, len(n.got))
		}
	}
	if err := os.WriteFile(file, raw, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := nodectl("upgrade", "--url", url, "--bundle", file, "--key", key, "--no-wait"); err != nil || !bytes.Equal(n.got, raw) {
		t.Errorf("%v, sent %d bytes", err, len(n.got))
	}
}

func TestANodesWordsDoNotDriveTheTerminal(t *testing.T) {
	var out bytes.Buffer
	if n, err := (plain{&out}).Write([]byte("guest| \x1b]0;owned\x07 \u009b2J é\tend\r\n")); err != nil || n == 0 {
		t.Fatal(n, err)
	}
	if got := out.String(); got != "guest| ]0;owned 2J é\tend\n" {
		t.Errorf("%q", got)
	}
}
