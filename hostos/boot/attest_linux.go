package boot

import (
	"context"
	"encoding/json"
	"errors"
)

func (h *Host) Identity(ctx context.Context) (any, error) { return nil, errors.New("not wired") }
func (h *Host) Activate(ctx context.Context, challenge json.RawMessage) (any, error) { return nil, errors.New("not wired") }
func (h *Host) Attest(ctx context.Context, nonce []byte) (any, error) { return nil, errors.New("not wired") }
