package lab

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"sync"
	"time"
)

const qmpPoll = 20 * time.Millisecond // QEMU opens its socket within a second

// qmp is QEMU's control channel.
type qmp struct {
	mu   sync.Mutex
	conn net.Conn
	dec  *json.Decoder
}

// dialQMP waits for QEMU to listen at path, until it is gone or ctx ends.
func dialQMP(ctx context.Context, path string, gone <-chan struct{}) (*qmp, error) {
	tick := time.NewTicker(qmpPoll)
	defer tick.Stop()
	for {
		if c, err := net.Dial("unix", path); err == nil {
			return greet(c)
		} else if !errors.Is(err, os.ErrNotExist) && !isRefused(err) {
			return nil, err
		}
		select {
		case <-tick.C:
		case <-gone:
			return nil, errors.New("QEMU ended at once")
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

func greet(c net.Conn) (*qmp, error) {
	q := &qmp{conn: c, dec: json.NewDecoder(c)}
	var hello map[string]any
	if err := q.dec.Decode(&hello); err != nil {
		return nil, fmt.Errorf("read QEMU's greeting: %w", err)
	}
	return q, q.do("qmp_capabilities")
}

// do runs a command that returns nothing of interest.
func (q *qmp) do(command string) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	if err := json.NewEncoder(q.conn).Encode(map[string]string{"execute": command}); err != nil {
		return fmt.Errorf("tell QEMU %s: %w", command, err)
	}
	for {
		var answer struct {
			Return *json.RawMessage
			Error  *struct{ Desc string }
		}
		if err := q.dec.Decode(&answer); err != nil {
			return fmt.Errorf("tell QEMU %s: %w", command, err)
		}
		if answer.Error != nil {
			return fmt.Errorf("QEMU refuses %s: %s", command, answer.Error.Desc)
		}
		if answer.Return != nil {
			return nil
		} // else an event: nobody here listens to them
	}
}

func (q *qmp) close() { q.conn.Close() }
