package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// launch a node of a subnet; stop ends it.
func launch(t *testing.T, f flags) (url string, stop func() error) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	r, w := io.Pipe()
	done := make(chan error, 1)
	go func() {
		done <- run(ctx, f, w)
		w.Close()
	}()
	url = awaitURL(t, r)
	return url, func() error {
		cancel()
		return <-done
	}
}

// A node whose database is damaged says so, names the file and the way back, and
// comes back by it.
func TestResync(t *testing.T) {
	homes, at := subnet(t, 4)
	of := func(i int) flags { return flags{listen: at[i] + ":0", state: homes[i], dev: true} }
	urls, stops := make([]string, 4), make([]func() error, 4)
	started := make(chan int)
	for i := range homes {
		go func() { urls[i], stops[i] = launch(t, of(i)); started <- i }()
	}
	for range homes {
		<-started
	}
	defer func() {
		for _, stop := range stops {
			if err := stop(); err != nil {
				t.Errorf("stop: %v", err)
			}
		}
	}()
	if t.Failed() {
		return
	}
	id := install(t, connect(t, urls[0]))
	n, err := number(connect(t, urls[0]).Call(t.Context(), id, "inc", nil))
	want(t, "inc", n, err, 1)

	t.Log("the subnet serves")
	if err := stops[3](); err != nil {
		t.Fatal(err)
	}
	stops[3] = func() error { return nil }
	damage(t, filepath.Join(homes[3], "db"))
	ctx, cancel := context.WithCancel(t.Context())
	err = run(ctx, of(3), io.Discard)
	cancel()
	if err == nil || !strings.Contains(err.Error(), homes[3]) || !strings.Contains(err.Error(), "--resync") {
		t.Fatalf("of its damaged database the node says: %v", err)
	}
	t.Log(err)
	f := of(3)
	f.resync = true
	urls[3], stops[3] = launch(t, f)
	t.Log("the node is back")
	reaches(t, urls[3], certified(t, urls[0]))
	n, err = number(connect(t, urls[3]).Call(t.Context(), id, "inc", nil))
	want(t, "inc after resync", n, err, 2)
	aside, err := filepath.Glob(filepath.Join(homes[3], "damaged-*", "db", "*"))
	if err != nil || len(aside) == 0 {
		t.Errorf("the evidence is gone: %v", err)
	}
}

func certified(t *testing.T, url string) (height int) {
	t.Helper()
	_, value, _ := strings.Cut(page(t, url+"/metrics"), "\nashlar_certified_height ")
	if n, err := fmt.Sscan(value, &height); n != 1 {
		t.Fatalf("the metrics of %s tell no height: %v", url, err)
	}
	return height
}

// reaches waits for a node to certify a height.
func reaches(t *testing.T, url string, height int) {
	t.Helper()
	for tick := time.Tick(100 * time.Millisecond); certified(t, url) < height; {
		select {
		case <-tick:
		case <-t.Context().Done():
			t.Fatal(t.Context().Err())
		}
	}
}

// damage what a database has written.
func damage(t *testing.T, dir string) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "*"))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range files {
		if !strings.HasSuffix(name, ".log") && !strings.HasSuffix(name, ".sst") && !strings.Contains(name, "MANIFEST") {
			continue
		}
		b, err := os.ReadFile(name)
		for i := 60; i < len(b); i += 200 {
			b[i] ^= 0x55
		}
		if err = errors.Join(err, os.WriteFile(name, b, 0o600)); err != nil {
			t.Fatal(err)
		}
	}
}

// Where nobody has the state, --resync changes nothing and says what to do.
func TestResyncAlone(t *testing.T) {
	dir := t.TempDir()
	p := start(t, dir)
	if err := p.stop(); err != nil {
		t.Fatal(err)
	}
	f := flags{listen: "127.0.0.1:0", state: dir, dev: true, resync: true}
	if err := run(t.Context(), f, io.Discard); err == nil || !strings.Contains(err.Error(), "backup") {
		t.Errorf("a network of one node says: %v", err)
	}
	f.state = t.TempDir()
	if err := run(t.Context(), f, io.Discard); err == nil || !strings.Contains(err.Error(), "no network") {
		t.Errorf("an empty directory says: %v", err)
	}
	p = start(t, dir)
	if err := p.stop(); err != nil {
		t.Error(err)
	}
}
