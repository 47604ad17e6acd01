package reprhash

import (
	"fmt"
	"testing"
)

// The example of the specification, section "Request ids".
func TestSpecExample(t *testing.T) {
	var m Map
	m.Text("request_type", "call")
	m.Bytes("sender", []byte{4})
	m.Nat("ingress_expiry", 1685570400000000000)
	m.Bytes("canister_id", []byte("\x00\x00\x00\x00\x00\x00\x04\xd2"))
	m.Text("method_name", "hello")
	m.Bytes("arg", []byte("DIDL\x00\xfd*"))
	if got := fmt.Sprintf("%x", m.Sum()); got != "1d1091364d6bb8a6c16b203ee75467d59ead468f523eb058880ae8ec80e2b101" {
		t.Errorf("got %s", got)
	}
}

func TestNested(t *testing.T) {
	var reply, whole, other Map
	reply.Bytes("arg", []byte("DIDL\x00\x00"))
	whole.Add("reply", reply.Sum())
	other.Bytes("reply", []byte("DIDL\x00\x00"))
	if whole.Sum() == other.Sum() {
		t.Error("a map hashes like its content")
	}
	if List([][]byte{{1}, {2}}) == List([][]byte{{2}, {1}}) {
		t.Error("the order of an array does not matter")
	}
	if Lists([][][]byte{{{1}, {2}}}) == Lists([][][]byte{{{1}}, {{2}}}) {
		t.Error("the nesting of an array does not matter")
	}
}
