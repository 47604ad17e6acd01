// Package body reads the bodies of HTTP requests from clients that may be slow,
// or many.
//
//	Read ── 64 KiB at once ── more? a place among the large ── all within their time ──> bytes
//
// A slow body costs its connection and a little memory: call Read before the
// request takes a place among those at work, and done when the bytes are no
// longer needed.
package body

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"time"
)

const (
	smallBytes  = 64 << 10        // of a body that is read at once: nearly all are smaller
	largeAtOnce = 64              // larger ones, at most 5 MiB each
	grace       = 5 * time.Second // for the first byte
	rate        = 64 << 10        // bytes a second that must arrive after that
)

// ErrBusy asks to come again: too many large bodies are under way.
var ErrBusy = errors.New("too many large requests are under way, try again later")

// Reader lets a number of large bodies in at once.
type Reader struct{ large chan struct{} }

// New makes a reader.
func New() *Reader { return &Reader{make(chan struct{}, largeAtOnce)} }

// Read reads the body of r. One of more than limit bytes is a *http.MaxBytesError.
func (b *Reader) Read(w http.ResponseWriter, r *http.Request, limit int64) (data []byte, done func(), err error) {
	if r.ContentLength > limit {
		return nil, nil, &http.MaxBytesError{Limit: limit}
	}
	timed := &timed{from: http.MaxBytesReader(w, r.Body, limit), control: http.NewResponseController(w), began: time.Now()}
	data, err = readSmall(timed, r.ContentLength)
	done = func() {}
	if err == nil && len(data) == smallBytes {
		select {
		case b.large <- struct{}{}:
			done = func() { <-b.large }
		default:
			return nil, nil, ErrBusy
		}
		var rest bytes.Buffer
		_, err = rest.ReadFrom(timed)
		data = append(data, rest.Bytes()...)
	}
	if err != nil {
		done()
		return nil, nil, err
	}
	_ = timed.control.SetReadDeadline(time.Time{})
	return data, done, nil
}

// readSmall reads up to smallBytes; size is what is announced, -1: nothing is.
func readSmall(from io.Reader, size int64) ([]byte, error) {
	if size < 0 || size >= smallBytes {
		return io.ReadAll(io.LimitReader(from, smallBytes))
	}
	data := make([]byte, size)
	_, err := io.ReadFull(from, data)
	return data, err
}

// timed gives each byte its time.
type timed struct {
	from    io.Reader
	control *http.ResponseController
	began   time.Time
	got     int64
}

func (t *timed) Read(p []byte) (int, error) {
	// Not every writer has deadlines: those inside of this process have all bytes at hand.
	_ = t.control.SetReadDeadline(t.began.Add(grace + time.Duration(t.got)*time.Second/rate))
	n, err := t.from.Read(p)
	t.got += int64(n)
	return n, err
}
