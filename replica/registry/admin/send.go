package admin

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"ashlar/replica/registry"
)

const (
	sendTimeout = 10 * time.Second // for one node: it syncs a few versions
	maxAnswer   = 4 << 10
)

// Send brings nodes, by the URLs of their HTTP interfaces, to the latest version;
// without URLs all members. It tells of each what came of it.
func (n *Network) Send(ctx context.Context, tell func(url string, version uint64, err error), urls ...string) error {
	if len(urls) == 0 {
		var err error
		if urls, err = n.urls(); err != nil {
			return err
		}
	}
	failed := 0
	for _, url := range urls {
		version, err := n.sendOne(ctx, strings.TrimRight(url, "/")+registry.Path)
		if err != nil {
			failed++
		}
		tell(url, version, err)
	}
	if failed > 0 {
		return fmt.Errorf("%d of %d nodes did not take the latest version\n  they take it from the others when they can, or send again: network send", failed, len(urls))
	}
	return nil
}

// urls of the members.
func (n *Network) urls() (urls []string, err error) {
	v, err := n.View()
	if err != nil {
		return nil, err
	}
	for _, node := range v.Nodes {
		if node.HTTP != "" {
			urls = append(urls, "http://"+node.HTTP)
		}
	}
	return urls, nil
}

func (n *Network) sendOne(ctx context.Context, url string) (version uint64, err error) {
	ctx, stop := context.WithTimeout(ctx, sendTimeout)
	defer stop()
	if version, err = ask(ctx, http.MethodGet, fmt.Sprintf("%s?since=%d", url, n.store.Latest()), nil); err != nil {
		return 0, err
	}
	for version < n.store.Latest() {
		before := version
		if version, err = ask(ctx, http.MethodPost, url, registry.Join(n.store.ChangesSince(version))); err != nil {
			return before, err
		}
		if version <= before {
			return version, errors.New("the node says that it took a version, and does not have it")
		}
	}
	return version, nil
}

// ask a node; its answer names the version that it has.
func ask(ctx context.Context, method, url string, body []byte) (uint64, error) {
	req, err := http.NewRequestWithContext(ctx, method, url, bytes.NewReader(body))
	if err != nil {
		return 0, err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err != nil {
		return 0, err
	}
	if resp.StatusCode != http.StatusOK {
		return 0, fmt.Errorf("%s: %s", resp.Status, strings.TrimSpace(string(text)))
	}
	return strconv.ParseUint(resp.Header.Get(registry.VersionHeader), 10, 64)
}
