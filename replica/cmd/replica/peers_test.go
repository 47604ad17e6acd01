package main

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

// subnet makes a network of n nodes, each with an address of its own.
func subnet(t testing.TB, n int) (homes, at []string) {
	t.Helper()
	dir, bin := t.TempDir(), filepath.Join(t.TempDir(), "network")
	if out, err := exec.Command("go", "build", "-o", bin, "../network").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	net := fmt.Sprintf("127.%d.%d", 1+rand.IntN(250), rand.IntN(250))
	for i := range n {
		at = append(at, fmt.Sprintf("%s.%d", net, i+1))
		homes = append(homes, filepath.Join(dir, fmt.Sprint(i+1)))
	}
	if out, err := exec.Command(bin, "new", "--dir", dir, "--at", strings.Join(at, ",")).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return homes, at
}

// Four nodes are one subnet: what one of them answers, all of them know.
func TestFourNodes(t *testing.T) {
	homes, at := subnet(t, 4)
	ctx, cancel := context.WithCancel(t.Context())
	ends := make(chan error, 4)
	urls := make([]string, len(homes))
	var started sync.WaitGroup
	for i := range homes {
		r, w := io.Pipe()
		started.Go(func() { urls[i] = awaitURL(t, r) })
		go func() {
			ends <- run(ctx, flags{listen: at[i] + ":0", state: homes[i], dev: true}, w)
			w.Close()
		}()
	}
	if started.Wait(); t.Failed() {
		t.FailNow()
	}
	id := install(t, connect(t, urls[0]))
	for i, url := range urls {
		n, err := number(connect(t, url).Call(t.Context(), id, "inc", nil))
		want(t, "inc", n, err, uint32(i+1))
		checkDataCertificate(t, connect(t, url), id, uint32(i+1))
	}
	for _, url := range urls {
		if m := page(t, url+"/metrics"); strings.Count(m, "ashlar_peer_connected{") != 3 || strings.Contains(m, "ashlar_peer_refused_total{") {
			t.Errorf("metrics of %s:\n%s", url, m)
		}
	}
	cancel()
	for range homes {
		if err := <-ends; err != nil {
			t.Errorf("stop: %v", err)
		}
	}
}

func page(t testing.TB, url string) string {
	t.Helper()
	r, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	b, err := io.ReadAll(r.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}
