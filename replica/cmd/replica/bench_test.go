package main

import (
	"bytes"
	"crypto/rand"
	"fmt"
	"io"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"ashlar/replica/agent"
	"ashlar/replica/ic"
	"ashlar/replica/wire/envelope"
)

// users send requests of their own identity over their own connection, one at a time.
func users(b *testing.B, url, path, kind, method string, id ic.CanisterID, n int) {
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: n}}
	var left atomic.Int64
	left.Store(int64(b.N))
	var mu sync.Mutex
	var took []time.Duration
	var all sync.WaitGroup
	b.ResetTimer()
	for i := range n {
		secret := make([]byte, 32)
		secret[0], secret[1] = byte(i), byte(i>>8)
		by, err := agent.Ed25519(secret)
		if err != nil {
			b.Fatal(err)
		}
		all.Go(func() {
			var mine []time.Duration
			for left.Add(-1) >= 0 {
				nonce := make([]byte, 16)
				rand.Read(nonce)
				body, _, err := envelope.Seal(envelope.Content{Type: kind, Canister: id.Bytes(), Method: method,
					Nonce: nonce, Expiry: uint64(time.Now().Add(4 * time.Minute).UnixNano())}, by)
				if err != nil {
					b.Error(err)
					return
				}
				began := time.Now()
				if err := post(client, url+path, body); err != nil {
					b.Error(err)
					return
				}
				mine = append(mine, time.Since(began))
			}
			mu.Lock()
			took = append(took, mine...)
			mu.Unlock()
		})
	}
	all.Wait()
	if len(took) == 0 {
		return
	}
	slices.Sort(took)
	b.ReportMetric(float64(len(took))/b.Elapsed().Seconds(), "requests/s")
	b.ReportMetric(float64(took[len(took)/2].Microseconds())/1000, "p50-ms")
	b.ReportMetric(float64(took[len(took)*99/100].Microseconds())/1000, "p99-ms")
}

func post(client *http.Client, url string, body []byte) error {
	resp, err := client.Post(url, "application/cbor", bytes.NewReader(body))
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	if err != nil {
		return err
	}
	if resp.StatusCode != http.StatusOK || !bytes.Contains(answer, []byte("replied")) {
		return fmt.Errorf("%s: %.200s", resp.Status, answer)
	}
	return nil
}

func network(b *testing.B) (string, ic.CanisterID) {
	p := start(b, b.TempDir())
	return p.url, install(b, connect(b, p.url))
}

// BenchmarkUpdates: signed calls, answered with a certificate.
func BenchmarkUpdates(b *testing.B) {
	for _, n := range []int{1, 16, 256} {
		b.Run(fmt.Sprintf("%d users", n), func(b *testing.B) {
			url, id := network(b)
			users(b, url, "/api/v4/canister/"+id.String()+"/call", "call", "inc", id, n)
		})
	}
}

// BenchmarkQueries: signed queries, answered with a node signature.
func BenchmarkQueries(b *testing.B) {
	for _, n := range []int{1, 16} {
		b.Run(fmt.Sprintf("%d users", n), func(b *testing.B) {
			url, id := network(b)
			users(b, url, "/api/v3/canister/"+id.String()+"/query", "query", "get", id, n)
		})
	}
}
