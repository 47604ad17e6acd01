package hostlink

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
)

const (
	// Port is the vsock port on which the host listens.
	Port = 1024
	// HostCID is the host's vsock address, fixed by the virtio specification (5.10.4).
	HostCID = 2

	// version changes when a frame changes its meaning. Fields are added without.
	version = 1

	maxFrame    = 64 << 10 // bytes: the largest is a config, about 1 KiB
	maxText     = 1024     // bytes of text in a phase or health
	maxNameText = 64
)

// Kinds of frames.
const (
	KindHello    = "hello"
	KindPhase    = "phase"
	KindHealth   = "health"
	KindConfig   = "config"
	KindShutdown = "shutdown"
)

// A Frame is one message: Kind says which field is set.
type Frame struct {
	Kind     string    `json:"kind"`
	Hello    *Hello    `json:"hello,omitempty"`
	Phase    *Phase    `json:"phase,omitempty"`
	Health   *Health   `json:"health,omitempty"`
	Config   *Config   `json:"config,omitempty"`
	Shutdown *Shutdown `json:"shutdown,omitempty"`
}

// Hello is the guest's first frame.
type Hello struct {
	Protocol int    `json:"protocol"`
	Version  string `json:"version"` // of the guest's release
}

// Phase is a phase of the guest's boot that ended.
type Phase struct {
	Name    string  `json:"name"`
	Seconds float64 `json:"seconds"` // since the guest's kernel started
	Text    string  `json:"text"`
}

// Health is how the replica is, sent at each change and at an interval.
type Health struct {
	Healthy   bool   `json:"healthy"`
	Height    uint64 `json:"height"` // certified
	Message   string `json:"message,omitempty"`
	Restarts  int    `json:"restarts"` // of the replica since the guest started
	MemoryKiB uint64 `json:"memory_kib,omitempty"`
	Processes int    `json:"processes,omitempty"` // outside the kernel
}

// Config is what the host tells the guest. The guest takes nothing from the
// host but these fields: each is checked by Check.
type Config struct {
	Node     string  `json:"node"`
	Network  string  `json:"network"`
	IPv4     Address `json:"ipv4"`
	IPv6     Address `json:"ipv6"`
	Listen   string  `json:"listen"` // address and port of the replica
	LogLevel string  `json:"log_level"`
}

// Address is how one family is configured.
type Address struct {
	RA      bool   `json:"ra,omitempty"`
	Prefix  string `json:"prefix,omitempty"`
	Gateway string `json:"gateway,omitempty"`
}

// Shutdown asks the guest to stop its replica, sync its data and power off.
type Shutdown struct {
	Reason string `json:"reason,omitempty"`
}

// Write sends one frame: its length as four bytes, big endian, then JSON.
func Write(w io.Writer, f Frame) error {
	if err := f.check(); err != nil {
		return fmt.Errorf("hostlink: not sending: %w", err)
	}
	b, err := json.Marshal(f)
	if err != nil {
		return fmt.Errorf("hostlink: %w", err)
	}
	if len(b) > maxFrame {
		return fmt.Errorf("hostlink: frame of %d bytes, at most %d are sent", len(b), maxFrame)
	}
	_, err = w.Write(append(binary.BigEndian.AppendUint32(nil, uint32(len(b))), b...))
	return err
}

// Read receives one frame. Unknown fields are ignored, so that a newer peer can
// say more; an unknown kind, too, is returned and the caller passes over it.
func Read(r io.Reader) (Frame, error) {
	var head [4]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return Frame{}, err
	}
	n := binary.BigEndian.Uint32(head[:])
	if n == 0 || n > maxFrame {
		return Frame{}, fmt.Errorf("hostlink: frame of %d bytes, want 1 to %d", n, maxFrame)
	}
	b := make([]byte, n)
	if _, err := io.ReadFull(r, b); err != nil {
		return Frame{}, fmt.Errorf("hostlink: frame cut short: %w", err)
	}
	var f Frame
	d := json.NewDecoder(bytes.NewReader(b))
	if err := d.Decode(&f); err != nil {
		return Frame{}, fmt.Errorf("hostlink: frame is not JSON: %w", err)
	}
	if d.More() {
		return Frame{}, errors.New("hostlink: more than one value in a frame")
	}
	if err := f.check(); err != nil {
		return Frame{}, fmt.Errorf("hostlink: %w", err)
	}
	return f, nil
}

// check makes sure that the field named by Kind is there, alone, and bounded.
func (f Frame) check() error {
	set := 0
	for _, there := range []bool{f.Hello != nil, f.Phase != nil, f.Health != nil, f.Config != nil, f.Shutdown != nil} {
		if there {
			set++
		}
	}
	if f.Kind == "" || len(f.Kind) > maxNameText || set > 1 {
		return fmt.Errorf("frame of kind %.64q with %d bodies", f.Kind, set)
	}
	missing := fmt.Errorf("frame of kind %s without its body", f.Kind)
	switch f.Kind {
	case KindHello:
		if f.Hello == nil {
			return missing
		}
		return bound("version", f.Hello.Version, maxNameText)
	case KindPhase:
		if f.Phase == nil {
			return missing
		}
		if f.Phase.Name == "" || f.Phase.Seconds < 0 {
			return errors.New("phase without name or before the start")
		}
		return errors.Join(bound("phase", f.Phase.Name, maxNameText), bound("text", f.Phase.Text, maxText))
	case KindHealth:
		if f.Health == nil {
			return missing
		}
		return bound("message", f.Health.Message, maxText)
	case KindConfig:
		if f.Config == nil {
			return missing
		}
		return f.Config.Check()
	case KindShutdown:
		if f.Shutdown == nil {
			return missing
		}
		return bound("reason", f.Shutdown.Reason, maxText)
	}
	return nil
}

func bound(what, s string, limit int) error {
	if len(s) > limit {
		return fmt.Errorf("%s of %d bytes, at most %d are taken", what, len(s), limit)
	}
	return nil
}
