package agent

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
)

// HTTPError is an answer with a status that is neither 200 nor 202.
type HTTPError struct {
	URL    string
	Status int
	Text   string
}

func (e *HTTPError) Error() string {
	return fmt.Sprintf("%s: HTTP status %d: %s", e.URL, e.Status, e.Text)
}

const maxErrorText = 1 << 10 // bytes of an error's text that are kept

// roundTrip sends a request; a 200 is decoded into out, a 202 leaves it alone.
func (a *Agent) roundTrip(ctx context.Context, method, path string, body []byte, out any) (status int, err error) {
	req, err := http.NewRequestWithContext(ctx, method, a.url+path, bytes.NewReader(body))
	if err != nil {
		return 0, err
	}
	if body != nil {
		req.Header.Set("Content-Type", "application/cbor")
	}
	resp, err := a.client.Do(req)
	if err != nil {
		return 0, fmt.Errorf("cannot reach the replica: %w", err)
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(io.LimitReader(resp.Body, maxReplyBytes+1))
	switch {
	case err != nil:
		return 0, fmt.Errorf("answer of %s%s: %w", a.url, path, err)
	case len(raw) > maxReplyBytes:
		return 0, fmt.Errorf("answer of %s%s has more than %d bytes", a.url, path, maxReplyBytes)
	case resp.StatusCode == http.StatusAccepted:
		return resp.StatusCode, nil
	case resp.StatusCode != http.StatusOK:
		return resp.StatusCode, &HTTPError{a.url + path, resp.StatusCode, string(raw[:min(len(raw), maxErrorText)])}
	}
	return resp.StatusCode, a.decode(path, raw, out)
}
