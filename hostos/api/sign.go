package api

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"time"

	"ashlar/hostos/config"
)

// The headers of a signed request.
const (
	headerKey       = "Ashlar-Key"       // as in node.conf
	headerNonce     = "Ashlar-Nonce"     // from GET /v1/nonce, used once
	headerBody      = "Ashlar-Body"      // hex SHA-256 of the body
	headerSignature = "Ashlar-Signature" // base64
)

const (
	domain     = "ashlar node request 1"
	nonceBytes = 32
	nonceLife  = 5 * time.Minute // a bundle is hashed in seconds, a person types slowly
	maxNonces  = 256             // outstanding; the oldest go first
)

// message is what an administrator signs: nothing of it can be changed, moved
// to another request, or sent again.
func message(method, path, nonce, body string) []byte {
	return fmt.Appendf(nil, "%s\n%s\n%s\n%s\n%s\n", domain, method, path, nonce, body)
}

// Sign makes r a request of the holder of key. body is the SHA-256 of what r
// will send, nonce what the node gave.
func Sign(r *http.Request, key ed25519.PrivateKey, nonce string, body [sha256.Size]byte) {
	sum := hex.EncodeToString(body[:])
	r.Header.Set(headerKey, config.FormatAdminKey(key.Public().(ed25519.PublicKey)))
	r.Header.Set(headerNonce, nonce)
	r.Header.Set(headerBody, sum)
	r.Header.Set(headerSignature, base64.StdEncoding.EncodeToString(ed25519.Sign(key, message(r.Method, r.URL.Path, nonce, sum))))
}

// gate checks signed requests.
type gate struct {
	keys []ed25519.PublicKey
	now  func() time.Time

	mu     sync.Mutex
	nonces map[string]time.Time // -> when it was given out
	order  []string
}

func newGate(keys []ed25519.PublicKey) *gate {
	return &gate{keys: keys, now: time.Now, nonces: map[string]time.Time{}}
}

// nonce gives a new one.
func (g *gate) nonce() string {
	b := make([]byte, nonceBytes)
	rand.Read(b)
	n := hex.EncodeToString(b)
	g.mu.Lock()
	defer g.mu.Unlock()
	g.nonces[n] = g.now()
	g.order = append(g.order, n)
	for len(g.order) > maxNonces {
		delete(g.nonces, g.order[0])
		g.order = g.order[1:]
	}
	return n
}

// take uses a nonce up.
func (g *gate) take(n string) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	given, ok := g.nonces[n]
	delete(g.nonces, n)
	return ok && g.now().Sub(given) <= nonceLife
}

// check admits a request or says why not, and returns the body's hash that was
// signed. The body has not been read: who sends something else is found out at
// its end.
func (g *gate) check(r *http.Request) ([sha256.Size]byte, error) {
	var sum [sha256.Size]byte
	if len(g.keys) == 0 {
		return sum, errors.New("this node has no administrator: add an admin_key to its node.conf")
	}
	key, err := config.ParseAdminKey(r.Header.Get(headerKey))
	if err != nil {
		return sum, errors.New("the request is not signed: use nodectl with --key")
	}
	known := false
	for _, k := range g.keys {
		known = known || k.Equal(key)
	}
	if !known {
		return sum, errors.New("this key is not an administrator's: its admin_key line is not in the node's node.conf")
	}
	b, err := hex.DecodeString(r.Header.Get(headerBody))
	if err != nil || len(b) != len(sum) {
		return sum, errors.New("the request does not say what it will send")
	}
	copy(sum[:], b)
	sig, err := base64.StdEncoding.DecodeString(r.Header.Get(headerSignature))
	nonce := r.Header.Get(headerNonce)
	if err != nil || !ed25519.Verify(key, message(r.Method, r.URL.Path, nonce, hex.EncodeToString(b)), sig) {
		return sum, errors.New("the signature does not fit the request")
	}
	if !g.take(nonce) { // last, so that a stranger cannot use nonces up
		return sum, errors.New("the request was sent before, or too late: try again")
	}
	return sum, nil
}
