package subnet

import (
	"bufio"
	"bytes"
	"context"
	"crypto/rand"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"ashlar/replica/agent"
	"ashlar/replica/ic"
	"ashlar/replica/wire/envelope"
)

// replicas is a network of ours: processes with addresses of their own.
type replicas struct {
	nodes []*exec.Cmd
	urls  []string
	id    ic.CanisterID // a counter
	spare [][]net.Conn  // by node
	made  byte          // orders so far, so that no two have the same keys
}

func startReplicas(b *testing.B, nodes int, dir string) *replicas {
	bin, err := filepath.Abs(filepath.Join(root, "out", "bench"))
	if err != nil {
		b.Fatal(err)
	}
	build(b, root, filepath.Join(bin, "replica"), "./replica/cmd/replica")
	build(b, root, filepath.Join(bin, "network"), "./replica/cmd/network")
	var at []string
	for i := range nodes { // a loopback network of this run
		at = append(at, fmt.Sprintf("127.%d.%d.%d", 1+os.Getpid()>>8&0x7f, os.Getpid()&0xff, i+1))
	}
	if out, err := exec.Command(filepath.Join(bin, "network"), "new", "--dir", dir, "--at", strings.Join(at, ",")).CombinedOutput(); err != nil {
		b.Fatalf("%v\n%s", err, out)
	}
	n := &replicas{spare: make([][]net.Conn, nodes)}
	for i := range nodes {
		home := filepath.Join(dir, strconv.Itoa(i+1))
		cmd := exec.Command(filepath.Join(bin, "replica"), "--dev", "--state", home, "--listen", at[i]+":4943")
		if cmd.Stdout, err = os.Create(filepath.Join(dir, fmt.Sprint("log", i+1))); err != nil {
			b.Fatal(err)
		}
		cmd.Stderr, cmd.SysProcAttr = cmd.Stdout, &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
		if err := cmd.Start(); err != nil {
			b.Fatal(err)
		}
		b.Cleanup(func() { cmd.Process.Kill(); cmd.Wait() })
		n.nodes, n.urls = append(n.nodes, cmd), append(n.urls, "http://"+at[i]+":4943")
	}
	n.install(b)
	return n
}

// install a counter, once the network answers.
func (n *replicas) install(b *testing.B) {
	code, err := os.ReadFile(filepath.Join(root, "replica/cmd/replica/testdata/counter.wasm"))
	if err != nil {
		b.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	var a *agent.Agent
	for {
		if a, err = agent.New(n.urls[0], agent.Options{}); err == nil {
			if _, err = a.FetchRootKey(ctx); err == nil {
				if n.id, err = agent.Manage(a).Create(ctx, ic.CanisterIDFromUint64(0), ic.NewCycles(1e18), nil); err == nil {
					break
				}
			}
		}
		select {
		case <-time.After(200 * time.Millisecond):
		case <-ctx.Done():
			b.Fatalf("the network does not answer after a minute: %v", err)
		}
	}
	if err := agent.Manage(a).InstallCode(ctx, n.id, agent.Install(), code, nil); err != nil {
		b.Fatal(err)
	}
	for _, url := range n.urls { // the others have it a moment later
		for !installed(ctx, url, n.id) {
			if ctx.Err() != nil {
				b.Fatalf("%s does not see the canister after a minute", url)
			}
			time.Sleep(50 * time.Millisecond)
		}
	}
}

// installed tells whether a node's certified state has the canister with its code.
func installed(ctx context.Context, url string, id ic.CanisterID) bool {
	a, err := agent.New(url, agent.Options{})
	if err != nil {
		return false
	}
	if _, err = a.FetchRootKey(ctx); err == nil {
		_, err = a.Query(ctx, id, "get", nil)
	}
	return err == nil
}

const maxSigned = 60_000 // calls that are signed before the clock runs

func (n *replicas) requests(o order) (out [][]byte, err error) {
	count := maxSigned
	if o.Rate > 0 {
		count = int(float64(o.Rate)*o.Seconds) + 1
	} else if o.InFlight == 0 {
		return nil, nil
	}
	var users []envelope.Signer
	n.made++
	for i := range 100 {
		secret := make([]byte, 32)
		secret[0], secret[1] = byte(i), n.made
		u, err := agent.Ed25519(secret)
		if err != nil {
			return nil, err
		}
		users = append(users, u)
	}
	for i := range count {
		c := envelope.Content{Type: "call", Canister: n.id.Bytes(), Method: "inc", Nonce: make([]byte, 16), Arg: make([]byte, 100), Expiry: uint64(time.Now().Add(4 * time.Minute).UnixNano())}
		rand.Read(c.Nonce)
		body, _, err := envelope.Seal(c, users[i%len(users)])
		if err != nil {
			return nil, err
		}
		head := fmt.Sprintf("POST /api/v4/canister/%s/call HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/cbor\r\nContent-Length: %d\r\n\r\n", n.id, len(body))
		out = append(out, append([]byte(head), body...))
	}
	return out, nil
}

func (n *replicas) load(o order) (r result, err error) {
	requests, err := n.requests(o)
	if err != nil {
		return r, err
	}
	before, err := n.metrics()
	if err != nil {
		return r, err
	}
	began, cpu, own := time.Now(), n.cpu(), ownCPU()
	end := began.Add(time.Duration(o.Seconds * float64(time.Second)))
	t := &tally{end: end}
	if o.Rate > 0 {
		n.steady(o.Rate, requests, t)
	} else {
		n.saturate(o.InFlight, requests, t)
	}
	time.Sleep(time.Until(end)) // the rest of an idle order
	t.mu.Lock()
	defer t.mu.Unlock()
	r.Seconds, r.CPU, r.LoaderCPU = time.Since(began).Seconds(), n.cpu()-cpu, ownCPU()-own
	if t.err != nil {
		return r, t.err
	}
	after, err := n.metrics()
	r.Blocks = int(after["ashlar_rounds_total"] - before["ashlar_rounds_total"])
	r.Stages = map[string]time.Duration{}
	for _, stage := range []string{"agreed", "executed", "certified"} {
		took := func(what string) float64 {
			name := fmt.Sprintf("ashlar_block_seconds_%s{stage=%q}", what, stage)
			return after[name] - before[name]
		}
		r.Stages[stage] = time.Duration(took("sum") / max(took("count"), 1) * float64(time.Second))
	}
	slices.Sort(t.took)
	if r.Committed = len(t.took); r.Committed > 0 {
		r.P50, r.P99 = t.took[r.Committed/2], t.took[r.Committed*99/100]
	}
	return r, err
}

// steady sends at a rate, to the nodes in turn.
func (n *replicas) steady(rate int, requests [][]byte, t *tally) {
	due := time.Now()
	for i, request := range requests {
		time.Sleep(time.Until(due))
		due = due.Add(time.Second / time.Duration(rate))
		t.all.Go(func() {
			c, err := n.connection(i % len(n.urls))
			if err == nil {
				err = t.exchange(c, request)
			}
			if err != nil {
				t.fail(err)
				return
			}
			t.mu.Lock()
			defer t.mu.Unlock()
			n.spare[i%len(n.urls)] = append(n.spare[i%len(n.urls)], c)
		})
	}
	t.all.Wait()
}

// saturate keeps so many calls in flight, until the end.
func (n *replicas) saturate(inFlight int, requests [][]byte, t *tally) {
	next := make(chan []byte)
	for i := range inFlight {
		c, err := n.connection(i % len(n.urls))
		if err != nil {
			t.fail(err)
			break
		}
		t.all.Go(func() {
			defer c.Close()
			for request := range next {
				if err := t.exchange(c, request); err != nil {
					t.fail(err)
					return
				}
			}
		})
	}
	late := time.After(time.Until(t.end))
feed:
	for _, request := range requests {
		select {
		case next <- request:
		case <-late:
			break feed
		}
	}
	close(next)
	if inFlight > 0 {
		time.Sleep(time.Until(t.end)) // what comes later does not count
	}
}

func (n *replicas) connection(i int) (net.Conn, error) {
	if s := n.spare[i]; len(s) > 0 {
		n.spare[i] = s[:len(s)-1]
		return s[len(s)-1], nil
	}
	return net.Dial("tcp", strings.TrimPrefix(n.urls[i], "http://"))
}

type tally struct {
	end  time.Time
	all  sync.WaitGroup
	mu   sync.Mutex
	took []time.Duration
	err  error
}

func (t *tally) fail(err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.err == nil && time.Now().Before(t.end) {
		t.err = err
	}
}

// exchange sends a call and waits for its certificate.
func (t *tally) exchange(c net.Conn, request []byte) error {
	began := time.Now()
	if _, err := c.Write(request); err != nil {
		return err
	}
	in := bufio.NewReaderSize(c, 4<<10)
	answer, err := http.ReadResponse(in, nil)
	if err != nil {
		return err
	}
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		return err
	}
	if answer.StatusCode != http.StatusOK || !bytes.Contains(body, []byte("replied")) {
		return fmt.Errorf("%s %.200q", answer.Status, body)
	}
	now := time.Now()
	t.mu.Lock()
	defer t.mu.Unlock()
	if now.Before(t.end) {
		t.took = append(t.took, now.Sub(began))
	}
	return nil
}

// metrics of the first node, by their names and labels.
func (n *replicas) metrics() (map[string]float64, error) {
	answer, err := http.Get(n.urls[0] + "/metrics")
	if err != nil {
		return nil, err
	}
	defer answer.Body.Close()
	page, err := io.ReadAll(answer.Body)
	if err != nil {
		return nil, err
	}
	all := map[string]float64{}
	for line := range strings.Lines(string(page)) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), " ")
		if v, err := strconv.ParseFloat(value, 64); err == nil {
			all[name] = v
		}
	}
	return all, nil
}

// cpu of all nodes so far.
func (n *replicas) cpu() (sum time.Duration) {
	for _, c := range n.nodes {
		stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", c.Process.Pid))
		if err != nil {
			continue
		}
		_, rest, _ := strings.Cut(string(stat), ") ")
		f := strings.Fields(rest)
		user, _ := strconv.Atoi(f[11])
		system, _ := strconv.Atoi(f[12])
		sum += time.Duration(user+system) * (time.Second / ticks)
	}
	return sum
}

const ticks = 100 // of /proc, each second

func ownCPU() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		panic(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
