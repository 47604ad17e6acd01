package node

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/fxamacker/cbor/v2"
)

const (
	askLimit = 30 * time.Second // hostd quotes on an emulated TPM
	maxReply = 4 << 20
)

// Status is what hostd says of the node; see hostos/api, which has more.
type Status struct {
	Version string            `json:"version"`
	KVM     string            `json:"kvm"`
	TPM     string            `json:"tpm"`
	PCRs    map[string]string `json:"pcrs"`
	Memory  struct {
		HostKiB        float64 `json:"host_kib"`
		Processes      float64 `json:"processes"`
		GuestProcesses float64 `json:"guest_processes"`
	} `json:"memory"`
	Notes []string `json:"notes"`
}

func (n *node) status(ctx context.Context) (s Status, err error) {
	b, err := get(ctx, n.hostURL+"/v1/status")
	if err == nil {
		err = json.Unmarshal(b, &s)
	}
	if err != nil {
		err = fmt.Errorf("ask hostd for its status: %w", err)
	}
	return s, err
}

// rootKey asks the replica itself, as any client does.
func (n *node) rootKey(ctx context.Context) (string, error) {
	b, err := get(ctx, n.url()+"/api/v2/status")
	if err != nil {
		return "", fmt.Errorf("ask the replica for its status: %w", err)
	}
	var s struct {
		RootKey []byte `cbor:"root_key"`
		Health  string `cbor:"replica_health_status"`
	}
	if err := cbor.Unmarshal(b, &s); err != nil {
		return "", fmt.Errorf("read the replica's status: %w", err)
	}
	if s.Health != "healthy" || len(s.RootKey) == 0 {
		return "", fmt.Errorf("the replica says it is %q, with a root key of %d bytes", s.Health, len(s.RootKey))
	}
	return hex.EncodeToString(s.RootKey), nil
}

func get(ctx context.Context, url string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, askLimit)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(io.LimitReader(resp.Body, maxReply))
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %.200s", resp.Status, b)
	}
	return b, err
}
