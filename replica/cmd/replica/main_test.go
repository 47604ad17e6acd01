package main

import (
	"bufio"
	"context"
	_ "embed"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"ashlar/replica/agent"
	"ashlar/replica/crypto/bls"
	"ashlar/replica/ic"
	"ashlar/replica/node"
	"ashlar/replica/wire/cert"
	"ashlar/replica/wire/hashtree"
)

//go:embed testdata/counter.wasm
var counterWasm []byte

// process is a replica in this test's process, or one of its own.
type process struct {
	url  string
	stop func() error // in good order
	kill func()       // -9; nil in process
}

// start runs the replica in this process until the test ends.
func start(t testing.TB, dir string) *process {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	r, w := io.Pipe()
	done := make(chan error, 1)
	go func() {
		done <- run(ctx, flags{listen: "127.0.0.1:0", state: dir, dev: true, domains: "localhost"}, w)
		w.Close()
	}()
	p := &process{url: awaitURL(t, r), stop: sync.OnceValue(func() error { cancel(); return <-done })}
	t.Cleanup(func() { p.stop() })
	if p.url == "" {
		t.FailNow()
	}
	return p
}

// awaitURL reads the log until the node says where it is, and then keeps reading;
// "" if it does not start.
func awaitURL(t testing.TB, r io.Reader) string {
	t.Helper()
	lines := bufio.NewScanner(r)
	var seen []string
	for lines.Scan() {
		seen = append(seen, lines.Text())
		if _, url, ok := strings.Cut(lines.Text(), "replica: http"); ok {
			go io.Copy(io.Discard, r)
			return "http" + url
		}
	}
	t.Errorf("the replica did not start:\n%s", strings.Join(seen, "\n"))
	return ""
}

func connect(t testing.TB, url string) *agent.Agent {
	t.Helper()
	a, err := agent.New(url, agent.Options{})
	if err == nil {
		_, err = a.FetchRootKey(t.Context())
	}
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// install makes a counter canister.
func install(t testing.TB, a *agent.Agent) ic.CanisterID {
	t.Helper()
	m := agent.Manage(a)
	id, err := m.Create(t.Context(), ic.CanisterIDFromUint64(0), ic.NewCycles(100e12), nil)
	if err == nil {
		err = m.InstallCode(t.Context(), id, agent.Install(), counterWasm, nil)
	}
	if err != nil {
		t.Fatal(err)
	}
	return id
}

func number(b []byte, err error) (uint32, error) {
	if err != nil {
		return 0, err
	}
	if len(b) != 4 {
		return 0, fmt.Errorf("the counter answered %x", b)
	}
	return binary.LittleEndian.Uint32(b), nil
}

func want(t *testing.T, what string, got uint32, err error, want uint32) {
	t.Helper()
	if err != nil || got != want {
		t.Errorf("%s: got %d, %v; want %d", what, got, err, want)
	}
}

func TestCounter(t *testing.T) {
	dir := t.TempDir()
	p := start(t, dir)
	a := connect(t, p.url)
	id := install(t, a)
	ctx := t.Context()
	for i := range uint32(3) {
		n, err := number(a.Call(ctx, id, "inc", nil))
		want(t, "inc", n, err, i+1)
	}
	n, err := number(a.Query(ctx, id, "get", nil))
	want(t, "get", n, err, 3)

	var rejected *agent.Rejected
	if _, err := a.Call(ctx, id, "fail", nil); !errors.As(err, &rejected) || !strings.Contains(err.Error(), "no such luck") {
		t.Errorf("a trap: %v", err)
	}
	if _, err := a.Call(ctx, id, "secret", nil); err == nil {
		t.Error("a message that inspection refuses was executed")
	}
	if _, err := a.Call(ctx, id, "nothing", nil); err == nil {
		t.Error("a method that is not there was executed")
	}
	n, err = number(a.Query(ctx, id, "get", nil))
	want(t, "get after a trap", n, err, 3)
	checkDataCertificate(t, a, id, 3)

	if err := p.stop(); err != nil {
		t.Fatal(err)
	}
	p = start(t, dir)
	a = connect(t, p.url)
	n, err = number(a.Query(ctx, id, "get", nil))
	want(t, "get after a restart", n, err, 3)
	n, err = number(a.Call(ctx, id, "inc", nil))
	want(t, "inc after a restart", n, err, 4)
	checkDataCertificate(t, a, id, 4)
}

// checkDataCertificate: what a query shows is certified, and so is the time.
func checkDataCertificate(t *testing.T, a *agent.Agent, id ic.CanisterID, count uint32) {
	t.Helper()
	raw, err := a.Query(t.Context(), id, "certificate", nil)
	if err != nil {
		t.Fatal(err)
	}
	c, err := cert.Decode(raw)
	if err != nil {
		t.Fatal(err)
	}
	root, err := a.FetchRootKey(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Verify(root, func(der, message, sig []byte) error {
		key, err := bls.ParseDER(der)
		if err != nil {
			return err
		}
		return key.Verify(message, sig)
	}); err != nil {
		t.Error(err)
	}
	data, status := c.Tree.Lookup(hashtree.P("canister", string(id.Principal), "certified_data"))
	if status != hashtree.Found || len(data) != 4 || binary.LittleEndian.Uint32(data) != count {
		t.Errorf("certified data %x, %v", data, status)
	}
	if _, err := c.Time(); err != nil {
		t.Error(err)
	}
}

// binary builds the replica and starts it as a process.
func startBinary(t *testing.T, bin, dir string) *process {
	t.Helper()
	cmd := exec.Command(bin, "--dev", "--listen", "127.0.0.1:0", "--state", dir)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	end := sync.OnceValue(func() error { return cmd.Wait() })
	p := &process{kill: func() { cmd.Process.Kill(); end() }, stop: func() error { cmd.Process.Signal(os.Interrupt); return end() }}
	t.Cleanup(p.kill)
	if p.url = awaitURL(t, out); p.url == "" {
		t.FailNow()
	}
	return p
}

// The process is killed again and again while calls are under way. Every answer
// that was certified stays true, and no call is executed twice.
func TestKill9(t *testing.T) {
	dir, bin := t.TempDir(), filepath.Join(t.TempDir(), "replica")
	if out, err := exec.Command("go", "build", "-o", bin, ".").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	p := startBinary(t, bin, dir)
	a := connect(t, p.url)
	id := install(t, a)
	answers, sent, height := map[uint32]bool{}, uint32(0), uint64(0)
	for life := range 6 {
		got := make(chan uint32, 64)
		var users sync.WaitGroup
		for range 4 {
			users.Go(func() {
				for range 8 {
					n, err := number(a.Call(t.Context(), id, "inc", nil))
					if err != nil {
						return // the node is gone
					}
					got <- n
				}
			})
		}
		for range 2 + life*5 {
			n := <-got
			if answers[n] {
				t.Errorf("two calls were answered %d", n)
			}
			answers[n] = true
		}
		p.kill()
		users.Wait()
		close(got)
		for n := range got {
			answers[n] = true
		}
		sent += 32
		p = startBinary(t, bin, dir)
		a = connect(t, p.url)
		s, err := a.Status(t.Context())
		if err != nil || s.Height < height || s.Health != "healthy" {
			t.Fatalf("life %d: status %+v, %v; height was %d", life, s, err, height)
		}
		height = s.Height
		n, err := number(a.Query(t.Context(), id, "get", nil))
		if err != nil {
			t.Fatal(err)
		}
		for old := range answers {
			if old > n {
				t.Errorf("life %d: a call was answered %d, the counter is at %d", life, old, n)
			}
		}
		if n > sent {
			t.Errorf("life %d: %d calls were sent, the counter is at %d", life, sent, n)
		}
	}
	if err := p.stop(); err != nil {
		t.Errorf("stop: %v", err)
	}
}

func TestErrors(t *testing.T) {
	busy, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer busy.Close()
	used := t.TempDir()
	start(t, used)
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, []byte("mine"), 0o600); err != nil {
		t.Fatal(err)
	}
	lost := t.TempDir()
	if err := start(t, lost).stop(); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(filepath.Join(lost, "keys")); err != nil {
		t.Fatal(err)
	}
	swapped := t.TempDir()
	if err := start(t, swapped).stop(); err != nil {
		t.Fatal(err)
	}
	other := t.TempDir()
	if err := start(t, other).stop(); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(filepath.Join(other, "keys"), filepath.Join(swapped, "keys")); err != nil {
		t.Fatal(err)
	}
	homes, at := subnet(t, 4)
	busyPeers, err := net.Listen("tcp", at[0]+":4100")
	if err != nil {
		t.Fatal(err)
	}
	defer busyPeers.Close()
	copyFile(t, filepath.Join(used, "keys"), filepath.Join(homes[1], "keys"))
	for name, c := range map[string]struct {
		f    flags
		says []string
	}{
		"the port of peers is busy": {flags{listen: "127.0.0.1:0", state: homes[0]}, []string{at[0] + ":4100 is in use", "--p2p"}},
		"keys of another network":   {flags{listen: "127.0.0.1:0", state: homes[1]}, []string{"no member", "registry"}},
		"no address of peers":       {flags{listen: "127.0.0.1:0", state: homes[2], p2p: "here"}, []string{"--p2p here"}},
		"not this machine's":        {flags{listen: "127.0.0.1:0", state: homes[2], p2p: "192.0.2.1:4100"}, []string{"192.0.2.1:4100", "--p2p"}},
		"a busy port":               {flags{listen: busy.Addr().String(), state: t.TempDir(), dev: true}, []string{"in use", "--listen"}},
		"a busy gateway":            {flags{listen: "127.0.0.1:0", gateway: busy.Addr().String(), state: t.TempDir(), dev: true}, []string{"in use", "--gateway"}},
		"a bad address":             {flags{listen: "nowhere:x", state: t.TempDir(), dev: true}, []string{"cannot listen on nowhere:x", "--listen"}},
		"a state in use":            {flags{listen: "127.0.0.1:0", state: used, dev: true}, []string{used, "in use", "--state"}},
		"no network, no --dev":      {flags{listen: "127.0.0.1:0", state: t.TempDir()}, []string{"no network", "--dev"}},
		"a file as state":           {flags{listen: "127.0.0.1:0", state: file, dev: true}, []string{file}},
		"keys lost":                 {flags{listen: "127.0.0.1:0", state: lost, dev: true}, []string{"keys"}},
		"keys of another":           {flags{listen: "127.0.0.1:0", state: swapped, dev: true}, []string{"no member", "registry"}},
	} {
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		err := run(ctx, c.f, io.Discard)
		cancel()
		if err == nil {
			t.Errorf("%s: no error", name)
			continue
		}
		for _, s := range c.says {
			if !strings.Contains(err.Error(), s) {
				t.Errorf("%s: %q does not say %q", name, err, s)
			}
		}
	}
	if data, err := os.ReadFile(file); err != nil || string(data) != "mine" {
		t.Error("the file was changed")
	}
}

// Who starts the node can tell how it ended, whatever it says besides.
func TestStatus(t *testing.T) {
	for want, err := range map[int]error{
		1: errors.New("the disk is full"), statusLeft: &node.Left{}, statusUpgrade: errors.Join(&node.Upgrade{}, errors.New("and more")), statusHalt: &node.Halt{},
	} {
		if got := status(err); got != want {
			t.Errorf("%v: status %d, want %d", err, got, want)
		}
	}
}

func TestFlags(t *testing.T) {
	for _, args := range [][]string{{}, {"--state"}, {"--state", "d", "more"}, {"--stat", "d"}} {
		if _, err := parse(args, io.Discard); err == nil {
			t.Errorf("%q was accepted", args)
		}
	}
	f, err := parse([]string{"--dev", "--state", "d", "--listen", "[::]:4943"}, io.Discard)
	if err != nil || !f.dev || f.state != "d" || f.listen != "[::]:4943" {
		t.Errorf("%+v, %v", f, err)
	}
}
