package dkg

import (
	"bytes"
	"testing"
)

// Whatever is not the dealing is refused: there is no second encoding.
func FuzzDealing(f *testing.F) {
	s, raw := dealt(f, "fuzz", 1)
	f.Add(raw)
	f.Add(raw[:200])
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, data []byte) {
		if _, err := s.Verify(0, data); err == nil && !bytes.Equal(data, raw) {
			t.Errorf("a second dealing: %x", data)
		}
	})
}

// Each transcript has one encoding, and reading one never fails hard.
func FuzzTranscript(f *testing.F) {
	for _, n := range []int{1, 4} {
		all := people(f, "fuzz", n)
		tr := run(f, session(f, config(High, all, all)), []int{0, 1, 2, 3}[:n], nil)
		f.Add(tr.Bytes())
		f.Add(tr.Bytes()[:300])
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		tr, err := DecodeTranscript(data)
		if err != nil {
			return
		}
		if !bytes.Equal(tr.encode(), data) {
			t.Errorf("decoded and encoded again: %x", data)
		}
		if len(tr.Group().Holders) != len(tr.Receivers()) {
			t.Error("holders and receivers differ")
		}
	})
}

func FuzzEncryptionKey(f *testing.F) {
	p := people(f, "fuzz", 1)[0]
	good := p.public.Bytes()
	f.Add(good)
	f.Add(good[:9])
	f.Fuzz(func(t *testing.T, data []byte) {
		if _, err := ParseEncryptionKey(p.id, data); err == nil && !bytes.Equal(data, good) {
			t.Errorf("a second key: %x", data)
		}
	})
}
