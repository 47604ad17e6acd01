package registry

import (
	"context"
	"fmt"
	"io"
	"net/http"
)

// Follow takes what another node has above this registry, by the URL of its HTTP
// interface. Whoever it is: what it gives is verified like all else.
func (s *Store) Follow(ctx context.Context, url string) error {
	changes, err := Fetch(ctx, url, s.Latest())
	for _, c := range changes {
		if err := s.Take(c); err != nil {
			return err
		}
	}
	return err
}

// Fetch asks a node for the versions after one, as many as it gives at once.
func Fetch(ctx context.Context, url string, since uint64) ([][]byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, fmt.Sprintf("%s%s?since=%d", url, Path, since), nil)
	if err != nil {
		return nil, fmt.Errorf("registry: %w", err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, fmt.Errorf("registry: %w", err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("registry: %s answers %s", url, resp.Status)
	}
	data, err := io.ReadAll(io.LimitReader(resp.Body, maxFeedBytes+1))
	if err != nil {
		return nil, fmt.Errorf("registry: %w", err)
	}
	if len(data) > maxFeedBytes {
		return nil, fmt.Errorf("registry: %s gives more than %d bytes at once", url, maxFeedBytes)
	}
	return Split(data)
}
