package hostlink

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"net"
	"reflect"
	"strings"
	"testing"
)

var config = Config{
	Node: "node-1", Network: "dev", Listen: "0.0.0.0:4943", LogLevel: "info",
	IPv4: Address{Prefix: "10.0.2.16/24", Gateway: "10.0.2.2"}, IPv6: Address{RA: true},
}

func TestAConversation(t *testing.T) {
	hostEnd, guestEnd := net.Pipe()
	got := make(chan []Frame)
	go func() {
		c, err := Accept(hostEnd, config)
		if err != nil {
			t.Error(err)
			close(got)
			return
		}
		if c.Peer.Version != "0.1.0" {
			t.Errorf("guest's version %q", c.Peer.Version)
		}
		var frames []Frame
		err = c.Serve(context.Background(), func(f Frame) {
			frames = append(frames, f)
			if f.Kind == KindHealth {
				c.Send(Frame{Kind: KindShutdown, Shutdown: &Shutdown{Reason: "power button"}})
			}
		})
		if err == nil {
			t.Error("Serve ended without error at a closed connection")
		}
		got <- frames
	}()
	g, c, err := Greet(guestEnd, "0.1.0")
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(c, config) {
		t.Errorf("config %+v", c)
	}
	sent := []Frame{
		{Kind: KindPhase, Phase: &Phase{"data", 1.5, "mounted"}},
		{Kind: "later", Hello: nil}, // a kind of a newer peer
		{Kind: KindHealth, Health: &Health{Healthy: true, Height: 7}},
	}
	for _, f := range sent {
		if err := g.Send(f); err != nil {
			t.Fatal(err)
		}
	}
	err = g.Serve(context.Background(), func(f Frame) {
		if f.Kind != KindShutdown || f.Shutdown.Reason != "power button" {
			t.Errorf("got %+v", f)
		}
		g.Close()
	})
	if err == nil {
		t.Error("no error after Close")
	}
	if frames := <-got; !reflect.DeepEqual(frames, sent) {
		t.Errorf("host got %+v", frames)
	}
}

func TestAnotherVersionIsRefused(t *testing.T) {
	hostEnd, guestEnd := net.Pipe()
	go Write(guestEnd, Frame{Kind: KindHello, Hello: &Hello{Protocol: 99}})
	if _, err := Accept(hostEnd, config); err == nil || !strings.Contains(err.Error(), "speaks version 99") {
		t.Errorf("%v", err)
	}
}

func TestTheOrderIsKept(t *testing.T) {
	hostEnd, guestEnd := net.Pipe()
	go Write(guestEnd, Frame{Kind: KindHealth, Health: &Health{}})
	if _, err := Accept(hostEnd, config); err == nil || !strings.Contains(err.Error(), "want hello") {
		t.Errorf("host: %v", err)
	}
	hostEnd, guestEnd = net.Pipe()
	go func() {
		Read(hostEnd)
		Write(hostEnd, Frame{Kind: KindShutdown, Shutdown: &Shutdown{}})
	}()
	if _, _, err := Greet(guestEnd, "1"); err == nil || !strings.Contains(err.Error(), "want config") {
		t.Errorf("guest: %v", err)
	}
}

func TestServeEndsWithItsContext(t *testing.T) {
	end, _ := net.Pipe()
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := (&Conn{conn: end}).Serve(ctx, func(Frame) {}); !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
}

func frame(body string) []byte {
	return append(binary.BigEndian.AppendUint32(nil, uint32(len(body))), body...)
}

func TestReadRefuses(t *testing.T) {
	for _, tc := range []struct {
		name, says string
		in         []byte
	}{
		{"empty frame", "0 bytes", frame("")},
		{"huge length", "want 1 to", []byte{0xff, 0xff, 0xff, 0xff}},
		{"cut short", "cut short", frame(`{"kind":"hello"}`)[:10]},
		{"no JSON", "not JSON", frame(`hello`)},
		{"two values", "more than one", frame(`{"kind":"x"}{"kind":"y"}`)},
		{"no kind", "0 bodies", frame(`{}`)},
		{"two bodies", "2 bodies", frame(`{"kind":"hello","hello":{},"health":{}}`)},
		{"no body", "without its body", frame(`{"kind":"health"}`)},
		{"another body", "without its body", frame(`{"kind":"health","hello":{}}`)},
		{"long text", "at most", frame(`{"kind":"phase","phase":{"name":"x","text":"` + strings.Repeat("x", 2000) + `"}}`)},
		{"config from nowhere", "unknown network", frame(`{"kind":"config","config":{"network":"main"}}`)},
		{"config, bad listen", "listen address", frame(`{"kind":"config","config":{"network":"dev","listen":"x"}}`)},
		{"config, no address", "no address", frame(`{"kind":"config","config":{"network":"dev","listen":"0.0.0.0:1"}}`)},
		{"config, swapped families", "ipv4 address", frame(`{"kind":"config","config":{"network":"dev","listen":"0.0.0.0:1","ipv4":{"prefix":"fe80::1/64","gateway":"fe80::2"}}}`)},
	} {
		if _, err := Read(bytes.NewReader(tc.in)); err == nil || !strings.Contains(err.Error(), tc.says) {
			t.Errorf("%s: %v", tc.name, err)
		}
	}
}

func FuzzRead(f *testing.F) {
	var b bytes.Buffer
	Write(&b, Frame{Kind: KindConfig, Config: &config})
	f.Add(b.Bytes())
	f.Add(frame(`{"kind":"phase","phase":{"name":"x","text":"y","seconds":1}}`))
	f.Fuzz(func(t *testing.T, in []byte) {
		fr, err := Read(bytes.NewReader(in))
		if err != nil {
			return
		}
		if err := Write(&bytes.Buffer{}, fr); err != nil && !strings.Contains(err.Error(), "at most") {
			t.Fatalf("read but not written: %v", err)
		}
	})
}
