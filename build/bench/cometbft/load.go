package main

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/cometbft/cometbft/crypto/ed25519"
	"github.com/cometbft/cometbft/types"
)

const (
	payload   = 100    // bytes of a transaction, besides its signature
	batch     = 50     // transactions of one request, where many are in flight
	maxSigned = 60_000 // transactions that are signed before the clock runs
	accounts  = 100
)

// load submits transactions to all validators in turn and waits for their blocks.
func (n *network) load(o Order) (r Result, err error) {
	txs := n.transactions(o)
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	blocks, err := n.events.Subscribe(ctx, "bench", "tm.event='NewBlock'", 1000)
	if err != nil {
		return r, err
	}
	defer n.events.UnsubscribeAll(context.Background(), "bench")
	t := &tally{sent: map[uint64]time.Time{}, room: make(chan struct{}, max(o.InFlight, 1)), signed: n.signed}
	failed := make(chan error, 1)
	began, cpu, own := time.Now(), n.cpu(), ownCPU()
	end := began.Add(time.Duration(o.Seconds * float64(time.Second)))
	if o.Rate > 0 || o.InFlight > 0 {
		go n.submit(o, txs, t, end, failed)
	}
	for last := time.NewTimer(time.Until(end)); ; {
		select {
		case e := <-blocks:
			if b, ok := e.Data.(types.EventDataNewBlock); ok {
				r.Blocks++
				t.committed(b.Block.Txs)
			}
			continue
		case err := <-failed:
			return r, err
		case <-last.C:
		}
		break
	}
	r.Seconds, r.CPU, r.LoaderCPU = time.Since(began).Seconds(), n.cpu()-cpu, ownCPU()-own
	t.mu.Lock()
	defer t.mu.Unlock()
	t.done = true
	slices.Sort(t.took)
	if r.Committed = len(t.took); r.Committed > 0 {
		r.P50, r.P99 = t.took[r.Committed/2], t.took[r.Committed*99/100]
	}
	return r, nil
}

// transactions are made, and signed, before the clock runs.
func (n *network) transactions(o Order) (txs [][]byte) {
	count := maxSigned
	if o.Rate > 0 {
		count = int(float64(o.Rate)*o.Seconds) + 1
	} else if o.InFlight == 0 {
		return nil
	}
	var keys []ed25519.PrivKey
	for range accounts {
		keys = append(keys, ed25519.GenPrivKey())
	}
	for i := range count {
		body := make([]byte, payload)
		rand.Read(body)
		n.counter++
		binary.BigEndian.PutUint64(body, n.counter)
		if n.signed {
			k := keys[i%accounts]
			sig, err := k.Sign(body)
			if err != nil {
				panic(err)
			}
			body = slices.Concat(k.PubKey().Bytes(), sig, body)
		}
		txs = append(txs, body)
	}
	return txs
}

func (n *network) submit(o Order, txs [][]byte, t *tally, end time.Time, failed chan<- error) {
	size := 1
	if o.Rate == 0 && o.InFlight >= 4*batch {
		size = batch
	}
	due := time.Now()
	for i := 0; len(txs) > 0 && time.Now().Before(end); i++ {
		part := txs[:min(size, len(txs))]
		txs = txs[len(part):]
		if o.Rate > 0 {
			time.Sleep(time.Until(due))
			due = due.Add(time.Second / time.Duration(o.Rate))
		} else {
			for range part {
				t.room <- struct{}{}
			}
		}
		go func() {
			if err := n.send(i%len(n.clients), part, t); err != nil {
				select {
				case failed <- err:
				default:
				}
			}
		}()
	}
}

func (n *network) send(to int, txs [][]byte, t *tally) error {
	b := n.clients[to].NewBatch()
	t.submitting(txs)
	for _, tx := range txs {
		if _, err := b.BroadcastTxSync(context.Background(), tx); err != nil {
			return err
		}
	}
	_, err := b.Send(context.Background())
	return err
}

// tally knows when each transaction was submitted.
type tally struct {
	mu     sync.Mutex
	sent   map[uint64]time.Time
	took   []time.Duration
	room   chan struct{}
	signed bool
	done   bool
}

func (t *tally) id(tx []byte) uint64 {
	if t.signed {
		tx = tx[signatureBytes:]
	}
	return binary.BigEndian.Uint64(tx)
}

func (t *tally) submitting(txs [][]byte) {
	now := time.Now()
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, tx := range txs {
		t.sent[t.id(tx)] = now
	}
}

func (t *tally) committed(txs types.Txs) {
	now := time.Now()
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, tx := range txs {
		id := t.id(tx)
		if at, ok := t.sent[id]; ok && !t.done {
			t.took = append(t.took, now.Sub(at))
			delete(t.sent, id)
			select {
			case <-t.room:
			default:
			}
		}
	}
}

// cpu of all validators so far.
func (n *network) cpu() (sum time.Duration) {
	for _, c := range n.nodes {
		stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", c.Process.Pid))
		if err != nil {
			continue
		}
		_, rest, _ := strings.Cut(string(stat), ") ")
		var user, system int64
		f := strings.Fields(rest)
		fmt.Sscan(f[11], &user)
		fmt.Sscan(f[12], &system)
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
