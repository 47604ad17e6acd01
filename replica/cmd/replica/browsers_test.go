package main

import (
	"bufio"
	"context"
	"io"
	"net/http"
	"strings"
	"testing"

	"ashlar/replica/ic"
)

// open asks for a page of a host at an address.
func openPage(t *testing.T, address, host string) (status int, body string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), "GET", address, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Host = host
	req.Header.Set("Accept", "text/html")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(raw)
}

// The port of --dev serves agents and browsers; what browsers see comes from the
// canister, through the node's own API.
func TestBrowsers(t *testing.T) {
	p := start(t, t.TempDir())
	id := install(t, connect(t, p.url))
	for _, c := range []struct {
		host   string
		status int
		says   string
	}{
		{"localhost", 200, "http://&lt;canister-id&gt;.localhost"},
		{id.String() + ".localhost", 503, "serves no web pages"}, // a counter
		{ic.CanisterIDFromUint64(1<<20+77).String() + ".localhost", 404, "Canister not found"},
		{"qoctq-giaaa-aaaaa-aaaea-cai.example.org", 200, "A network"},
		{"x.localhost", 400, "no canister id"},
	} {
		if status, body := openPage(t, p.url+"/", c.host); status != c.status || !strings.Contains(body, c.says) {
			t.Errorf("%s: %d %s", c.host, status, body)
		}
	}
	if status, body := openPage(t, p.url+"/metrics", "localhost"); status != 200 || !strings.Contains(body, "# TYPE") {
		t.Errorf("metrics: %d", status)
	}
}

// With --gateway browsers have a door of their own.
func TestGatewayAddress(t *testing.T) {
	r, w := io.Pipe()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() {
		done <- run(ctx, flags{listen: "127.0.0.1:0", gateway: "127.0.0.1:0", state: t.TempDir(), dev: true, domains: "example.org,localhost"}, w)
		w.Close()
	}()
	var api, port string
	for lines := bufio.NewScanner(r); api == "" && lines.Scan(); {
		if _, at, ok := strings.Cut(lines.Text(), "canisters open at http://<canister-id>.example.org:"); ok {
			port = strings.TrimSuffix(at, "/")
		}
		_, api, _ = strings.Cut(lines.Text(), " replica: ")
	}
	go io.Copy(io.Discard, r)
	if status, body := openPage(t, "http://127.0.0.1:"+port+"/", "x.example.org"); status != 400 || !strings.Contains(body, "no canister id") {
		t.Errorf("the gateway: %d %s", status, body)
	}
	if status, _ := openPage(t, "http://127.0.0.1:"+port+"/api/v2/status", "x.example.org"); status != 200 {
		t.Errorf("the API at the gateway's address: %d", status)
	}
	if status, _ := openPage(t, api+"/", "x.example.org"); status != 404 {
		t.Errorf("a page at the API's address: %d", status)
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}
