package p2p

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"sync/atomic"
	"time"

	"github.com/libp2p/go-libp2p/core/network"
)

// The streams that a node opens, by their first byte.
const (
	kindArtifacts byte = iota + 1 // frames, as long as the connection lasts
	kindCalls                     // the same
	kindAsk                       // one frame there, one back
	kindFetch                     // the same: a large artifact by its name
)

var errGone = errors.New("the connection ended")

// accept a stream that a peer opened.
func (h *Host) accept(s network.Stream) {
	defer s.Reset()
	if !h.enter() {
		return
	}
	defer h.all.Done()
	r := h.remote(s.Conn().RemotePeer())
	if r == nil || r.banned() {
		return
	}
	select {
	case <-h.started:
	case <-r.ctx.Done():
		return
	}
	r.poke()
	var kind [1]byte
	s.SetReadDeadline(time.Now().Add(askTimeout))
	if _, err := io.ReadFull(s, kind[:]); err != nil {
		return
	}
	s.SetReadDeadline(time.Time{})
	switch kind[0] {
	case kindArtifacts:
		r.listen(kind[0], s, maxFrame, func(ctx context.Context, data []byte, _ bool) error { return r.hear(ctx, data) })
	case kindCalls:
		r.listen(kind[0], s, maxCall, r.hearCalls())
	case kindAsk:
		r.serve(s)
	case kindFetch:
		s.SetDeadline(time.Now().Add(askTimeout))
		select {
		case r.giving <- struct{}{}:
			defer func() { <-r.giving }()
		case <-r.ctx.Done():
			return
		}
		r.give(s, newFrames(s, &r.sent))
	default:
		r.wrong("stream", fmt.Errorf("it opened a stream of kind %d", kind[0]))
	}
}

// hearCalls gathers calls that come together: they are checked in one go.
func (r *remote) hearCalls() func(ctx context.Context, data []byte, more bool) error {
	var calls [][]byte
	return func(ctx context.Context, data []byte, more bool) error {
		if err := r.calls.WaitN(ctx, len(data)); err != nil {
			return err
		}
		r.callsIn.Add(1)
		if calls = append(calls, data); more && len(calls) < maxTogether {
			return nil
		}
		for _, err := range r.h.handler.Offered(calls) {
			r.wrong("call", err)
		}
		calls = nil
		return nil
	}
}

// hear a frame of artifacts.
func (r *remote) hear(ctx context.Context, frame []byte) error {
	if err := r.artifacts.WaitN(ctx, len(frame)); err != nil {
		return err
	}
	switch {
	case len(frame) > 0 && frame[0] == frameWhole:
		r.artifactsIn.Add(1)
		return r.h.handler.Hear(ctx, r.Peer.ID, frame[1:])
	case len(frame) > 0 && frame[0] == frameLarge:
		n, size, err := parseAnnouncement(frame[1:])
		if err != nil {
			r.wrong("frame", err)
		} else if r.h.shelf.claim(n, r, time.Now()) {
			r.want(wanted{n, size})
		}
	default:
		r.wrong("frame", errFrame)
	}
	return nil
}

// listen to a stream until it ends, or a newer one of its kind begins. more says that
// another frame is here in whole.
func (r *remote) listen(kind byte, s network.Stream, limit int, take func(ctx context.Context, frame []byte, more bool) error) {
	ctx, cancel := context.WithCancel(r.ctx)
	defer cancel()
	defer context.AfterFunc(ctx, func() { s.Reset() })()
	r.mu.Lock()
	if last := r.reading[kind]; last != nil {
		last()
	}
	r.reading[kind] = cancel
	r.mu.Unlock()
	in := bufio.NewReaderSize(s, readAhead)
	for {
		data, err := readFrame(in, limit, firstRead)
		if err != nil {
			if errors.Is(err, errTooLong) {
				r.wrong("frame", err)
			}
			return
		}
		r.heard.Add(uint64(len(data)))
		if take(ctx, data, wholeFrame(in)) != nil {
			return
		}
	}
}

// readAhead of a stream, in bytes: some dozens of calls.
const readAhead = 32 << 10

// maxTogether are the calls of a peer that are handed on at once.
const maxTogether = 64

// wholeFrame tells whether the next frame lies in the buffer.
func wholeFrame(in *bufio.Reader) bool {
	const head = 4
	if in.Buffered() < head {
		return false
	}
	size, err := in.Peek(head)
	return err == nil && uint64(in.Buffered()) >= head+uint64(binary.BigEndian.Uint32(size))
}

// serve one request. A peer with too many of them waits.
func (r *remote) serve(s network.Stream) {
	s.SetDeadline(time.Now().Add(askTimeout))
	select {
	case r.serving <- struct{}{}:
		defer func() { <-r.serving }()
	case <-r.ctx.Done():
		return
	}
	request, err := readFrame(s, maxRequest, firstRead)
	if err != nil {
		return
	}
	response, err := r.h.handler.Serve(request)
	if err != nil {
		r.wrong("request", err)
		return
	}
	ctx, cancel := context.WithTimeout(r.ctx, askTimeout)
	defer cancel()
	if len(response) > maxResponse || r.serves.WaitN(ctx, len(response)) != nil {
		return
	}
	out := newFrames(s, &r.sent)
	if out.write(response) == nil && out.flush() == nil {
		s.CloseWrite()
		io.Copy(io.Discard, io.LimitReader(s, 1)) // until the peer has it
	}
}

// frames writes length-prefixed messages.
type frames struct {
	s    network.Stream
	w    *bufio.Writer
	sent *atomic.Uint64
}

func newFrames(s network.Stream, sent *atomic.Uint64) *frames {
	return &frames{s, bufio.NewWriterSize(s, 32<<10), sent}
}

// write one message, of parts.
func (f *frames) write(parts ...[]byte) error {
	f.s.SetWriteDeadline(time.Now().Add(writeTimeout))
	n := 0
	for _, p := range parts {
		n += len(p)
	}
	var size [4]byte
	binary.BigEndian.PutUint32(size[:], uint32(n))
	if _, err := f.w.Write(size[:]); err != nil {
		return err
	}
	f.sent.Add(uint64(n))
	for _, p := range parts {
		if _, err := f.w.Write(p); err != nil {
			return err
		}
	}
	return nil
}

func (f *frames) flush() error {
	f.s.SetWriteDeadline(time.Now().Add(writeTimeout))
	return f.w.Flush()
}

var errTooLong = errors.New("it sent a message that is longer than any may be")

// readFrame reads one message. Beyond the first bytes (ahead), memory grows with
// what comes and not with what is announced.
func readFrame(in io.Reader, limit, ahead int) ([]byte, error) {
	var size [4]byte
	if _, err := io.ReadFull(in, size[:]); err != nil {
		return nil, err
	}
	n := int(binary.BigEndian.Uint32(size[:]))
	if n > limit {
		return nil, fmt.Errorf("%w: %d bytes", errTooLong, n)
	}
	data := make([]byte, min(n, ahead))
	for at := 0; ; {
		if _, err := io.ReadFull(in, data[at:]); err != nil {
			return nil, err
		}
		if len(data) == n {
			return data, nil
		}
		at = len(data)
		data = append(data, make([]byte, min(n-at, max(firstRead, at)))...)
	}
}
