package main

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	"ashlar/hostos/api"
)

const (
	askTimeout = 90 * time.Second // a TPM takes seconds, an emulated one more
	maxAnswer  = 8 << 20          // bytes: evidence with an event log
)

// do sends a request and decodes the answer.
func (c *call) do(r *http.Request, answer any) error {
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		return c.unreachable(err)
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer+1))
	if err != nil {
		return fmt.Errorf("the node's answer broke off: %w", err)
	}
	if len(raw) > maxAnswer {
		return errors.New("the node's answer is longer than any true one")
	}
	if resp.StatusCode != http.StatusOK {
		var e struct {
			Error string `json:"error"`
		}
		if json.Unmarshal(raw, &e) != nil || e.Error == "" {
			e.Error = fmt.Sprintf("HTTP status %s, not from a node: is the URL right?", resp.Status)
		}
		return fmt.Errorf("%s %s: %s", r.Method, r.URL.Path, e.Error)
	}
	if err := json.Unmarshal(raw, answer); err != nil {
		return fmt.Errorf("%s %s: this is not a node's answer: %w", r.Method, r.URL.Path, err)
	}
	return nil
}

func (c *call) unreachable(err error) error {
	var u *url.Error
	if errors.As(err, &u) {
		err = u.Err
	}
	return fmt.Errorf("cannot reach the node at %s: %w\n  is it on?       its console ends with a line `ashlar host ... ready`\n  is it this one? its address is in node.conf, the port is %d", c.url, err, api.Port)
}

func (c *call) request(ctx context.Context, method, path string, body any) (*http.Request, error) {
	var r io.Reader
	if body != nil {
		raw, err := json.Marshal(body)
		if err != nil {
			return nil, err
		}
		r = bytes.NewReader(raw)
	}
	req, err := http.NewRequestWithContext(ctx, method, strings.TrimSuffix(c.url, "/")+path, r)
	if err != nil {
		return nil, asked{fmt.Errorf("--url %q is not a URL: write http://ADDRESS:%d", c.url, api.Port)}
	}
	return req, nil
}

func (c *call) get(ctx context.Context, path string, answer any) error {
	return c.ask(ctx, http.MethodGet, path, nil, answer)
}

func (c *call) ask(ctx context.Context, method, path string, body, answer any) error {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	req, err := c.request(ctx, method, path, body)
	if err != nil {
		return err
	}
	return c.do(req, answer)
}

// order sends a signed request without a body.
func order(what string) func(context.Context, *call) error {
	return func(ctx context.Context, c *call) error {
		key, err := readKey(c.key)
		if err != nil {
			return err
		}
		req, err := c.signed(ctx, "/v1/"+what, key, sha256.Sum256(nil))
		if err != nil {
			return err
		}
		var answer struct {
			Next string `json:"next"`
		}
		if err := c.do(req, &answer); err != nil {
			return err
		}
		fmt.Fprintf(c.out, "%s: done\n", what)
		return nil
	}
}

// signed makes a signed POST; the caller sets its body, which must have this hash.
func (c *call) signed(ctx context.Context, path string, key ed25519.PrivateKey, body [sha256.Size]byte) (*http.Request, error) {
	var n api.Nonce
	if err := c.get(ctx, "/v1/nonce", &n); err != nil {
		return nil, err
	}
	req, err := c.request(ctx, http.MethodPost, path, nil)
	if err != nil {
		return nil, err
	}
	api.Sign(req, key, n.Nonce, body)
	return req, nil
}

// readKey reads what keygen wrote.
func readKey(path string) (ed25519.PrivateKey, error) {
	raw, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("the administrator's key: %w\n  make one: nodectl keygen FILE", err)
	}
	block, _ := pem.Decode(raw)
	if block == nil || block.Type != "PRIVATE KEY" {
		return nil, fmt.Errorf("%s is not a key that nodectl keygen made", path)
	}
	k, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	key, ok := k.(ed25519.PrivateKey)
	if err != nil || !ok {
		return nil, fmt.Errorf("%s is not an Ed25519 key: make one with nodectl keygen FILE", path)
	}
	return key, nil
}
