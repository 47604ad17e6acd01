package api_test

import (
	"testing"

	"ashlar/replica/api"
	"ashlar/replica/api/apitest"
	"ashlar/replica/wire/envelope"
	"ashlar/replica/wire/hashtree"
)

// What the interface itself costs a request, without network and execution.
func BenchmarkHandler(b *testing.B) {
	n := apitest.New(true)
	h := api.New(n, api.Config{})
	read := envelope.Content{Type: envelope.ReadState, Expiry: uint64(n.Clock) + 60e9, Paths: [][][]byte{hashtree.P("subnet")}}
	for _, c := range []struct {
		name, path string
		content    envelope.Content
		by         envelope.Signer
	}{
		{"query/anonymous", canisterPath + "/query", message(n, envelope.Query, "echo", apitest.Canister.Principal, []byte("hello")), anonymous{}},
		{"query/Ed25519", canisterPath + "/query", message(n, envelope.Query, "echo", apitest.Canister.Principal, []byte("hello")), newUser(1)},
		{"read_state/anonymous", canisterPath + "/read_state", read, anonymous{}},
	} {
		b.Run(c.name, func(b *testing.B) {
			raw, _ := seal(b, c.content, c.by)
			b.ReportAllocs()
			for b.Loop() {
				if w := post(h, "/api/v3"+c.path, raw); w.Code != 200 {
					b.Fatal(w.Code, w.Body)
				}
			}
		})
	}
}
