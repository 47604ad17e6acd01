package certified

import (
	"crypto/sha256"
	"slices"
	"strings"

	"ashlar/replica/wire/reprhash"
)

func hash(b []byte) [32]byte { return sha256.Sum256(b) }

// hash is "Request Hash Calculation". Without a certified parameter in the URL
// there is no :ic-cert-query, and names are compared without their case: the
// specification says otherwise, but canisters' libraries and gateways do so.
func (r *requestRule) hash(req *Request) [32]byte {
	var m reprhash.Map
	for _, h := range req.Headers {
		if named(r.headers, h.Name) {
			m.Text(strings.ToLower(h.Name), h.Value)
		}
	}
	m.Text(":ic-cert-method", req.Method)
	if q := r.query(req.URL); q != "" {
		m.Text(":ic-cert-query", q)
	}
	return joined(m.Sum(), hash(req.Body))
}

// query keeps the certified parameters, in their order.
func (r *requestRule) query(url string) string {
	url, _, _ = strings.Cut(url, "#")
	_, query, _ := strings.Cut(url, "?")
	var kept []string
	for part := range strings.SplitSeq(query, "&") {
		if name, _, _ := strings.Cut(part, "="); part != "" && named(r.parameters, name) {
			kept = append(kept, part)
		}
	}
	return strings.Join(kept, "&")
}

// certified are the response's headers that its hash covers.
func (e *expression) certified(headers []Header) (kept []Header) {
	for _, h := range headers {
		switch {
		case strings.EqualFold(h.Name, certificateName):
		case strings.EqualFold(h.Name, expressionName), named(e.headers, h.Name) != e.exclude:
			kept = append(kept, h)
		}
	}
	return kept
}

// responseHash is "Response Hash Calculation" over the headers that count.
func responseHash(status uint16, kept []Header, body []byte) [32]byte {
	var m reprhash.Map
	for _, h := range kept {
		m.Text(strings.ToLower(h.Name), h.Value)
	}
	m.Nat(":ic-cert-status", uint64(status))
	return joined(m.Sum(), hash(body))
}

func joined(a, b [32]byte) [32]byte { return hash(append(a[:], b[:]...)) }

func named(list []string, name string) bool {
	return slices.ContainsFunc(list, func(s string) bool { return strings.EqualFold(s, name) })
}
