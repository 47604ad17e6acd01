package power

import (
	"context"
	"encoding/binary"
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"testing"
	"testing/fstest"

	"golang.org/x/sys/unix"
)

func event(kind, code uint16, value uint32) []byte {
	b := make([]byte, 16, eventBytes)
	b = binary.LittleEndian.AppendUint16(b, kind)
	b = binary.LittleEndian.AppendUint16(b, code)
	return binary.LittleEndian.AppendUint32(b, value)
}

func TestButtons(t *testing.T) {
	sys := fstest.MapFS{
		"class/input/event0/device/name": {Data: []byte("AT Translated Set 2 keyboard\n")},
		"class/input/event1/device/name": {Data: []byte("Power Button\n")},
	}
	if got := Buttons(sys); !reflect.DeepEqual(got, []string{"/dev/input/event1"}) {
		t.Errorf("%v", got)
	}
	if err := Pressed(context.Background(), nil); !errors.Is(err, ErrNone) {
		t.Errorf("%v", err)
	}
}

func TestPressed(t *testing.T) {
	for _, tc := range []struct {
		name string
		in   []byte
		want bool
	}{
		{"press", event(evKey, keyPower, 1), true},
		{"release", event(evKey, keyPower, 0), false},
		{"another key", event(evKey, 30, 1), false},
		{"sync, then press", append(event(0, 0, 0), event(evKey, keyPower, 1)...), true},
		{"half an event", event(evKey, keyPower, 1)[:20], false},
	} {
		if pressed(tc.in) != tc.want {
			t.Errorf("%s: %v", tc.name, !tc.want)
		}
	}
	fifo := filepath.Join(t.TempDir(), "event")
	if err := unix.Mkfifo(fifo, 0o600); err != nil {
		t.Skip(err)
	}
	w, err := os.OpenFile(fifo, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	w.Write(event(evKey, keyPower, 1))
	if err := Pressed(context.Background(), []string{fifo}); err != nil {
		t.Error(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := Pressed(ctx, []string{fifo}); !errors.Is(err, context.Canceled) {
		t.Errorf("after the end: %v", err)
	}
}
