package gateway_test

import (
	"net/http/httptest"
	"strings"
	"testing"
)

// What the gateway adds to a query: reading, hashing and, in the first page of
// each round, a BLS signature.
func BenchmarkPage(b *testing.B) {
	n := newNetwork()
	n.answers(n.certify(html("<h1>hello</h1>")))
	g := n.gateway()
	for name, url := range map[string]string{"certified": home, "raw": "http://ID.raw.localhost/"} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				w := httptest.NewRecorder()
				if g.ServeHTTP(w, httptest.NewRequest("GET", strings.Replace(url, "ID", canister.String(), 1), nil)); w.Code != 200 {
					b.Fatal(w.Body)
				}
				n.asked, n.to = nil, nil
			}
		})
	}
}
