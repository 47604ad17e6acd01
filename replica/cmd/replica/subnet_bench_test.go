package main

import (
	"context"
	"io"
	"os"
	"path/filepath"
	"sync"
	"testing"
)

// BenchmarkSubnet: signed calls to four nodes in this process, one of which the
// sender is at; for profiles. build/bench/subnet measures processes.
func BenchmarkSubnet(b *testing.B) {
	homes, at := subnet(b, 4)
	ctx, cancel := context.WithCancel(b.Context())
	ends := make(chan error, 4)
	urls := make([]string, len(homes))
	var started sync.WaitGroup
	for i := range homes {
		r, w := io.Pipe()
		go func() {
			ends <- run(ctx, flags{listen: at[i] + ":0", state: homes[i], dev: true}, w)
			w.Close()
		}()
		started.Go(func() { urls[i] = awaitURL(b, r) })
	}
	started.Wait()
	id := install(b, connect(b, urls[0]))
	l := load{url: urls[0], path: "/api/v4/canister/" + id.String() + "/call", kind: "call", method: "inc", id: id, signed: true}
	l.users = 500
	b.Run("users=500", l.run)
	l.users, l.pause = 1, 50e6
	b.Run("steady=20", l.run)
	for i, url := range urls {
		if out := os.Getenv("METRICS"); out != "" {
			os.WriteFile(filepath.Join(out, at[i]), []byte(page(b, url+"/metrics")), 0o644)
		}
	}
	cancel()
	for range homes {
		<-ends
	}
}
