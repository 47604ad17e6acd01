package api

import (
	"crypto/ed25519"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
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
	nonceLife  = 5 * time.Minute // a bundle is hashed in seconds, a person types slowly
	maxUsed    = 1024            // nonces used up within that time; each took an administrator's signature
	nonceHead  = 16              // when it was given, and eight random bytes
	nonceBytes = 2 * nonceHead   // and as much of the MAC of that
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

// gate checks signed requests. It keeps nothing of the nonces that it gives to
// whoever asks, so that nobody can push an administrator's out: it knows its own
// by their MAC, whose key dies with the process, and remembers those used.
type gate struct {
	keys   []ed25519.PublicKey
	since  func() time.Duration // since the start; a clock that is set does not move it
	secret [sha256.Size]byte

	mu   sync.Mutex
	used map[string]time.Duration // -> when it was given
}

func newGate(keys []ed25519.PublicKey) *gate {
	start := time.Now()
	g := &gate{keys: keys, since: func() time.Duration { return time.Since(start) }, used: map[string]time.Duration{}}
	rand.Read(g.secret[:])
	return g
}

// nonce gives a new one.
func (g *gate) nonce() string {
	b := make([]byte, nonceHead)
	binary.BigEndian.PutUint64(b, uint64(g.since()))
	rand.Read(b[8:])
	return hex.EncodeToString(append(b, g.mac(b)...))
}

func (g *gate) mac(head []byte) []byte {
	h := hmac.New(sha256.New, g.secret[:])
	h.Write(head)
	return h.Sum(nil)[:nonceBytes-nonceHead]
}

// take uses a nonce up. Its signature was checked.
func (g *gate) take(n string) bool {
	b, err := hex.DecodeString(n)
	if err != nil || len(b) != nonceBytes || !hmac.Equal(b[nonceHead:], g.mac(b[:nonceHead])) {
		return false
	}
	key, given, now := string(b), time.Duration(binary.BigEndian.Uint64(b)), g.since()
	g.mu.Lock()
	defer g.mu.Unlock()
	maps.DeleteFunc(g.used, func(_ string, given time.Duration) bool { return now-given > nonceLife })
	if _, again := g.used[key]; again || now-given > nonceLife || len(g.used) >= maxUsed {
		return false
	}
	g.used[key] = given
	return true
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
		return sum, errors.New("the request was sent before, or too late, or its nonce is another node's: try again")
	}
	return sum, nil
}
