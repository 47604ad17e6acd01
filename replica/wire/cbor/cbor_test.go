package cbor

import (
	"encoding/hex"
	"strings"
	"testing"
)

type message struct {
	Name  string   `cbor:"name"`
	Count uint64   `cbor:"count,omitempty"`
	Parts [][]byte `cbor:"parts,omitempty"`
}

func TestMarshal(t *testing.T) {
	const want = "d9d9f7a2646e616d65616165636f756e7418ff"
	raw := Marshal(message{Name: "a", Count: 255})
	if got := hex.EncodeToString(raw); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	var back message
	if err := Unmarshal(raw, &back); err != nil || back.Name != "a" || back.Count != 255 {
		t.Errorf("got %+v, %v", back, err)
	}
	if err := Unmarshal(raw[3:], &back); err != nil {
		t.Errorf("without the tag: %v", err)
	}
}

func TestUnmarshalRefuses(t *testing.T) {
	for name, raw := range map[string]string{
		"nothing":                "",
		"a duplicate key":        "a2646e616d656161646e616d656162",
		"a float for an integer": "a165636f756e74fb3ff0000000000000",
		"a half float":           "a165636f756e74f93c00",
		"an indefinite map":      "bf646e616d656161ff",
		"an indefinite text":     "a1646e616d657f61616162ff",
		"text for bytes":         "a165706172747381" + "6161",
		"a negative number":      "a165636f756e7420",
		"a bignum of 65 bits":    "a165636f756e74c249010000000000000000",
		"text that is not UTF-8": "a1646e616d6561ff",
		"bytes behind":           "a000",
		"cut short":              "a1646e616d6562",
		"nesting":                strings.Repeat("81", 40) + "00",
		"a length beyond it":     "a16570617274739a7fffffff",
	} {
		b, err := hex.DecodeString(raw)
		if err != nil {
			t.Fatal(err)
		}
		var m message
		if err := Unmarshal(b, &m); err == nil {
			t.Errorf("%s: accepted as %+v", name, m)
		}
	}
	var m message
	bignum, _ := hex.DecodeString("a165636f756e74c24105")
	if err := Unmarshal(bignum, &m); err != nil || m.Count != 5 {
		t.Errorf("a bignum that fits: %+v, %v", m, err)
	}
}
