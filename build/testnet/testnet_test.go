package testnet

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"flag"
	"fmt"
	mathrand "math/rand/v2"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"ashlar/replica/agent"
	"ashlar/replica/ic"
	"ashlar/replica/wire/envelope"
	"ashlar/replica/wire/hashtree"
)

// programs are built once for all tests.
var programs = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "ashlar-testnet-")
	if err != nil {
		return "", err
	}
	out, err := exec.Command("go", "build", "-o", dir, "ashlar/replica/cmd/replica", "ashlar/replica/cmd/network").CombinedOutput()
	if err != nil {
		return dir, fmt.Errorf("%w\n%s", err, out)
	}
	return dir, nil
})

// inParallel: as many networks as there are tests that wait most of their time.
const inParallel = "8"

func TestMain(m *testing.M) {
	flag.Parse()
	if err := flag.Set("test.parallel", inParallel); err != nil {
		panic(err)
	}
	code := m.Run()
	if dir, _ := programs(); dir != "" {
		os.RemoveAll(dir)
	}
	os.Exit(code)
}

// versions of the replica, to change from one to the other.
var versions = sync.OnceValues(func() (dir string, err error) {
	if dir, err = programs(); err != nil {
		return "", err
	}
	for _, v := range []string{"a", "b"} {
		out, err := exec.Command("go", "build", "-ldflags", "-X main.Version="+v, "-o", ProgramOf(dir, v), "ashlar/replica/cmd/replica").CombinedOutput()
		if err != nil {
			return "", fmt.Errorf("%w\n%s", err, out)
		}
	}
	return dir, nil
})

// withVersions gives a network the programs of two more versions.
func withVersions(t *testing.T, n *Net) *Net {
	t.Helper()
	from, err := versions()
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(os.Remove(versionsIn(n.Dir)), os.Symlink(versionsIn(from), versionsIn(n.Dir))); err != nil {
		t.Fatal(err)
	}
	return n
}

func open(t *testing.T, nodes int, rounds uint64) *Net {
	t.Helper()
	return openWith(t, Options{Nodes: nodes, Rounds: rounds})
}

func openWith(t *testing.T, o Options) *Net {
	t.Helper()
	bin, err := programs()
	if err != nil {
		t.Fatal(err)
	}
	// Addresses that no other test has: all of 127/8 are this machine's.
	first := netip.AddrFrom4([4]byte{127, byte(1 + mathrand.IntN(250)), byte(mathrand.IntN(250)), 1})
	o.Bin, o.Dir, o.First, o.Say = bin, t.TempDir(), first, t.Logf
	n, err := Open(o)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func running(t *testing.T, nodes int) *Net {
	t.Helper()
	return start(t, open(t, nodes, 0))
}

// start a network, until the test ends.
func start(t *testing.T, n *Net) *Net {
	t.Helper()
	if err := n.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := n.Close(); err != nil {
			t.Error(err)
		}
		if t.Failed() {
			for _, d := range n.Nodes {
				log, _ := os.ReadFile(d.Log)
				t.Logf("node %d:\n%s", d.Number, log)
			}
		}
	})
	return n
}

func (n *Net) agent(t *testing.T, number int) *agent.Agent {
	t.Helper()
	root, err := hex.DecodeString(n.RootKey)
	if err != nil {
		t.Fatal(err)
	}
	a, err := agent.New(n.Nodes[number-1].URL, agent.Options{RootKey: root})
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// user sends calls, and each again and again, to one node after the other, until
// its certified answer is there.
type user struct {
	t      *testing.T
	net    *Net
	agents []*agent.Agent
	id     ic.CanisterID
	by     agent.Identity
	at     int
}

func (u *user) call() (uint32, error) {
	c := envelope.Content{Type: envelope.Call, Canister: u.id.Bytes(), Method: "inc", Nonce: make([]byte, 16), Expiry: uint64(time.Now().Add(4 * time.Minute).UnixNano())}
	rand.Read(c.Nonce)
	raw, id, err := envelope.Seal(c, u.by)
	if err != nil {
		return 0, err
	}
	for end := time.Now().Add(3 * time.Minute); time.Now().Before(end); u.at = (u.at + 1) % len(u.agents) {
		ctx, cancel := context.WithTimeout(u.t.Context(), 4*time.Second) // a node that is frozen says nothing
		n, ok := u.try(ctx, raw, id)
		cancel()
		if ok {
			return n, nil
		}
	}
	return 0, fmt.Errorf("call %x has no answer", id)
}

// try one node: send the call, which answers when it has ended, and read its status.
func (u *user) try(ctx context.Context, raw []byte, id ic.RequestID) (uint32, bool) {
	r, err := http.NewRequestWithContext(ctx, "POST", u.net.Nodes[u.at].URL+"/api/v4/canister/"+u.id.String()+"/call", bytes.NewReader(raw))
	if err != nil {
		u.t.Error(err)
		return 0, false
	}
	r.Header.Set("Content-Type", "application/cbor")
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		return 0, false
	}
	answer.Body.Close()
	c, err := u.agents[u.at].ReadState(ctx, u.id, hashtree.P("request_status", string(id[:])))
	if err != nil {
		return 0, false
	}
	reply, _ := c.Tree.Lookup(hashtree.P("request_status", string(id[:]), "reply"))
	if status, _ := c.Tree.Lookup(hashtree.P("request_status", string(id[:]), "status")); string(status) != "replied" || len(reply) != 4 {
		return 0, false
	}
	return binary.LittleEndian.Uint32(reply), true
}

// stormTime is how long the storm of make test lasts; STORM=10m in make soak.
func stormTime(t *testing.T) time.Duration {
	text := os.Getenv("STORM")
	if text == "" {
		return 15 * time.Second
	}
	d, err := time.ParseDuration(text)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// Nodes are killed, cut off, frozen and stopped, a third of them at a time, while
// users call: each call is answered and was executed once.
func TestStorm(t *testing.T) {
	n := start(t, withVersions(t, openWith(t, Options{Nodes: 4, Rounds: 40})))
	id := counter(t, n.agent(t, 1))
	ctx, stop := context.WithCancel(t.Context())
	var mu sync.Mutex
	var answers []uint32
	last, gap, at := time.Now(), time.Duration(0), time.Now() // the longest time without an answer, and when it ended
	var users sync.WaitGroup
	for i := range 6 {
		secret := make([]byte, 32)
		rand.Read(secret)
		by, err := agent.Ed25519(secret)
		if err != nil {
			t.Fatal(err)
		}
		u := &user{t: t, net: n, id: id, by: by, at: i % 4}
		for k := range n.Nodes {
			u.agents = append(u.agents, n.agent(t, k+1).As(by))
		}
		users.Go(func() {
			for ctx.Err() == nil {
				got, err := u.call()
				if err != nil {
					t.Error(err)
					return
				}
				mu.Lock()
				answers = append(answers, got)
				if now := time.Now(); now.Sub(last) > gap {
					gap, at = now.Sub(last), now
				}
				last = time.Now()
				mu.Unlock()
				u.at = (u.at + 1) % 4
			}
		})
	}
	storm, end := context.WithTimeout(t.Context(), stormTime(t))
	defer end()
	happened, err := n.Storm(storm, mathrand.Uint64())
	stop()
	users.Wait()
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%d calls, the longest time without an answer is %v (until %s), %v", len(answers), gap.Round(time.Millisecond), at.Format(time.TimeOnly), happened)
	slices.Sort(answers)
	for i, got := range answers {
		if got != uint32(i+1) {
			t.Fatalf("%d calls were answered; of their numbers the %d. is %d: %v", len(answers), i+1, got, answers)
		}
	}
	for i := range n.Nodes {
		agreed(t, n, i+1, id, uint32(len(answers)))
	}
}

// agreed: a node's signed answer to a query, once it knows of the last call.
func agreed(t *testing.T, n *Net, number int, id ic.CanisterID, want uint32) {
	t.Helper()
	a := n.agent(t, number)
	for end := time.Now().Add(20 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		raw, err := a.Query(t.Context(), id, "get", nil)
		if err == nil && len(raw) == 4 && binary.LittleEndian.Uint32(raw) == want {
			return
		}
		if time.Now().After(end) {
			t.Errorf("node %d: %x, %v; want %d", number, raw, err, want)
			return
		}
	}
}

// Commands do what they say, and a network goes on where it was.
func TestCommands(t *testing.T) {
	t.Parallel()
	n := running(t, 4)
	l, err := n.Listen()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := n.Listen(); err == nil || !strings.Contains(err.Error(), "runs already") {
		t.Errorf("a second one listens: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	served := make(chan error, 1)
	go func() { served <- n.Serve(ctx, l) }()
	say := func(words ...string) string {
		t.Helper()
		var out strings.Builder
		if err := Tell(n.Dir, words, &out); err != nil {
			t.Errorf("%v: %v", words, err)
		}
		return out.String()
	}
	say("kill", "2")
	if s := say("status"); !strings.Contains(s, "down") || n.Nodes[1].PID() != 0 {
		t.Errorf("after kill:\n%s", s)
	}
	say("start", "2")
	say("partition", "3")
	if s := say("status"); !strings.Contains(s, "apart: [3]") {
		t.Errorf("after partition:\n%s", s)
	}
	others := []*Node{n.Nodes[0], n.Nodes[1], n.Nodes[3]}
	wait, end := context.WithTimeout(t.Context(), time.Minute)
	defer end()
	if err := n.Nodes[1].Await(wait); err != nil {
		t.Fatal(err)
	}
	connected := func(d *Node, want uint64) {
		t.Helper()
		for tick := time.Tick(20 * time.Millisecond); ; <-tick {
			if got, err := d.Metric(wait, "peer_connected"); got == want && err == nil {
				return
			} else if wait.Err() != nil {
				t.Fatalf("node %d has %d peers, %v; want %d", d.Number, got, err, want)
			}
		}
	}
	connected(n.Nodes[2], 0)
	h, err := heights(wait, others)
	if err != nil {
		t.Fatal(err)
	}
	if err := reach(wait, others, slices.Max(h)+3); err != nil {
		t.Error(err)
	}
	say("heal")
	connected(n.Nodes[2], 3)
	say("wipe", "4") // its peers have all that it needs
	if h, err = heights(wait, n.Nodes[:3]); err != nil {
		t.Fatal(err)
	}
	if err := reach(wait, n.Nodes, slices.Max(h)+3); err != nil {
		t.Fatal(err)
	}
	for _, bad := range [][]string{{"kil", "1"}, {"kill"}, {"kill", "5"}, {"kill", "x"}, {"heal", "1"}, {"upgrade"}, {"upgrade", "1", "2"}, {"upgrade", "../replica"}, {"upgrade", "not-built"}} {
		if err := Tell(n.Dir, bad, &strings.Builder{}); err == nil {
			t.Errorf("%v was done", bad)
		}
	}
	cancel()
	if err := errorsOf(<-served, n.Close()); err != nil {
		t.Fatal(err)
	}
	if err := Tell(n.Dir, []string{"status"}, &strings.Builder{}); err == nil || !strings.Contains(err.Error(), "no network runs") {
		t.Errorf("after the end: %v", err)
	}
	if _, err := Open(Options{Bin: n.Bin, Dir: n.Dir, Nodes: 3, Port: n.Port}); err == nil || !strings.Contains(err.Error(), "N=4") {
		t.Errorf("another number of nodes: %v", err)
	}
	again, err := Open(Options{Bin: n.Bin, Dir: n.Dir, Say: t.Logf})
	if err != nil {
		t.Fatal(err)
	}
	if err := again.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	now, err := heights(t.Context(), again.Nodes)
	if err := errorsOf(err, again.Close()); err != nil {
		t.Fatal(err)
	}
	if again.RootKey != n.RootKey || slices.Min(now) < slices.Max(h) {
		t.Errorf("it began anew: heights %v, they were %v", now, h)
	}
}

func errorsOf(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

func TestOpenRefuses(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "keys"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(Options{Dir: dir}); err == nil || !strings.Contains(err.Error(), "older release") {
		t.Errorf("a network of one node by itself: %v", err)
	}
	if _, err := Open(Options{Dir: t.TempDir(), Nodes: 400}); err == nil {
		t.Error("400 nodes were made")
	}
	dir = t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "network"), []byte("root key 00\nnode 1 aaaaa-aa 10.77.0.1:4943\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(Options{Dir: dir}); err == nil || !strings.Contains(err.Error(), "with NETEM") {
		t.Errorf("a network behind links, without them: %v", err)
	}
}

// Where this process may make network namespaces, nodes talk through them.
func TestNamespaces(t *testing.T) {
	t.Parallel()
	bin, err := programs()
	if err != nil {
		t.Fatal(err)
	}
	l, err := layLinks(4, "delay 5ms", t.Logf)
	if err != nil {
		t.Skipf("no namespaces here: %v", err)
	}
	l.remove()
	n, err := Open(Options{Bin: bin, Dir: t.TempDir(), Nodes: 4, Netem: "delay 5ms", Say: t.Logf})
	if err != nil {
		t.Fatal(err)
	}
	err = n.Start(t.Context())
	if err := errorsOf(err, n.Close()); err != nil {
		t.Fatal(err)
	}
}
