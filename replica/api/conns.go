package api

import (
	"container/list"
	"net"
	"net/http"
	"sync"
)

// limitListener accepts no more than a number of connections at once. When all
// places are taken, the connection that has waited longest for a request gives
// way to a new one, so that those who hold connections and say nothing keep
// nobody out; if all are at work, the others wait in the kernel's queue.
type limitListener struct {
	net.Listener
	slots chan struct{}
	done  chan struct{}
	once  sync.Once

	mu      sync.Mutex
	quiet   *list.List // *limitConn without a request under way, the oldest first
	waiting bool       // a new connection wants the next place
}

func newLimitListener(l net.Listener, n int) *limitListener {
	return &limitListener{Listener: l, slots: make(chan struct{}, n), done: make(chan struct{}), quiet: list.New()}
}

// Accept takes the connection first and then finds a place for it.
func (l *limitListener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	select {
	case l.slots <- struct{}{}:
		return &limitConn{Conn: c, of: l}, nil
	default:
	}
	l.makeRoom()
	select {
	case l.slots <- struct{}{}:
		l.mu.Lock()
		l.waiting = false
		l.mu.Unlock()
		return &limitConn{Conn: c, of: l}, nil
	case <-l.done:
		c.Close()
		return nil, net.ErrClosed
	}
}

// makeRoom closes the connection that was quiet for the longest time, or lets
// the next one that becomes quiet be closed.
func (l *limitListener) makeRoom() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.waiting = true
	if oldest := l.quiet.Front(); oldest != nil {
		l.quiet.Remove(oldest)
		oldest.Value.(*limitConn).Close()
	}
}

// state follows the server's connections: its http.Server's ConnState.
func (l *limitListener) state(conn net.Conn, s http.ConnState) {
	c, ok := conn.(*limitConn)
	if !ok {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if c.at != nil {
		l.quiet.Remove(c.at) // does nothing if makeRoom did
		c.at = nil
	}
	switch {
	case s == http.StateIdle && l.waiting:
		c.Close()
	case s == http.StateIdle, s == http.StateNew:
		c.at = l.quiet.PushBack(c)
	}
}

func (l *limitListener) Close() error {
	l.once.Do(func() { close(l.done) })
	return l.Listener.Close()
}

type limitConn struct {
	net.Conn
	of   *limitListener
	once sync.Once
	at   *list.Element // in quiet; under its lock
}

func (c *limitConn) Close() error {
	err := c.Conn.Close()
	c.once.Do(func() { <-c.of.slots })
	return err
}
