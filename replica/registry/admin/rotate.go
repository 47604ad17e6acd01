package admin

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"

	"ashlar/replica/ic"
	"ashlar/replica/registry"
	"ashlar/replica/wire/records"
)

// RotateKeys replaces the dealing keys of nodes by what they offer, in one version;
// without URLs those of all members. It tells of each what came of it: who does not
// answer keeps its key until the next time.
func (n *Network) RotateKeys(ctx context.Context, tell func(url string, id ic.NodeID, err error), urls ...string) error {
	if len(urls) == 0 {
		var err error
		if urls, err = n.urls(); err != nil {
			return err
		}
	}
	var all []records.Mutation
	for _, url := range urls {
		o, err := askOffer(ctx, url)
		var id ic.NodeID
		var m records.Mutation
		if err == nil {
			id, m, err = n.store.TakeOffer(o)
		}
		if err == nil {
			all = append(all, m)
		}
		tell(url, id, err)
	}
	if len(all) == 0 {
		return errors.New("no node offers another key for dealings")
	}
	return n.change(all...)
}

// maxOffer: it has some 300 bytes.
const maxOffer = 4 << 10

func askOffer(ctx context.Context, url string) (*registry.Offer, error) {
	ctx, stop := context.WithTimeout(ctx, sendTimeout)
	defer stop()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, strings.TrimRight(url, "/")+registry.DealingPath, nil)
	if err != nil {
		return nil, err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(io.LimitReader(resp.Body, maxOffer))
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s", resp.Status, strings.TrimSpace(string(raw)))
	}
	if err != nil {
		return nil, err
	}
	o := &registry.Offer{}
	if err := json.Unmarshal(raw, o); err != nil {
		return nil, fmt.Errorf("its key for dealings: %w", err)
	}
	return o, nil
}
