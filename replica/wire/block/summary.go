package block

import (
	"bytes"
	"errors"
	"fmt"

	"ashlar/replica/ic"
)

// Limits of a summary.
const (
	maxMembers         = MaxSignatures
	maxTranscriptBytes = 2 << 20 // 1.1 MB of a high key at 40 nodes
	maxVersionBytes    = 128
	maxKeyBytes        = 512 // of one node's encryption key, with its proof
	maxConfigs         = 16  // key generations at one time: two of this subnet, the others for new ones
	maxDealings        = 64  // in one block
)

// Summary opens an interval: all that a node must know to take part in it, and in
// the one after it.
//
//	S_k ── current committee ── S_k+1 ── Next of S_k ── S_k+2
//	 └ Configs: dealt between S_k and S_k+1, their keys are Next of S_k+1
//
// A change of membership in the registry is read at S_k, dealt until S_k+1, and
// holds from S_k+2 on.
type Summary struct {
	Length     uint64 // of this interval: heights to the next summary
	NextLength uint64 // of the next one
	Era        Hash   // part of every signature above the summary
	Version    string // of the replica that runs above the summary
	Current    *Committee
	Next       *Committee // nil: the current one stays
	Configs    []Config
}

// Committee is who votes, and shares keys, for an interval.
type Committee struct {
	Registry  uint64   // version at which the members were read
	Members   []Member // by node id
	Low, High []byte   // transcripts of both keys: crypto/dkg
}

// Member of a committee: its place is its index in all signatures and keys.
type Member struct {
	Node ic.NodeID
	Key  []byte // Ed25519
}

// Config is a key generation in progress. The dealers are the current committee.
type Config struct {
	Target    Hash   // zero: for this subnet
	High      bool   // the key for certificates, reshared; else a fresh one for randomness
	Registry  uint64 // version at which the receivers were read
	Receivers []Receiver
}

// Receiver of a key.
type Receiver struct {
	Member
	Encryption []byte // its key for dealings
}

// Encode is the one encoding of s.
func (s *Summary) Encode() []byte {
	w := writer{version}
	w.uint(s.Length)
	w.uint(s.NextLength)
	w = append(w, s.Era[:]...)
	w.blob([]byte(s.Version))
	w.committee(s.Current)
	if s.Next == nil {
		w = append(w, 0)
	} else {
		w = append(w, 1)
		w.committee(s.Next)
	}
	w.uint(uint64(len(s.Configs)))
	for i := range s.Configs {
		w.config(&s.Configs[i])
	}
	return w
}

// DecodeSummary reads what Encode wrote and nothing else.
func DecodeSummary(data []byte) (*Summary, error) {
	r := &reader{left: data}
	if v := r.byte(); v != version && r.err == nil {
		return nil, fmt.Errorf("summary has format version %d, this node knows %d", v, version)
	}
	s := &Summary{Length: r.uint(), NextLength: r.uint(), Era: r.hash(), Version: string(r.blob(maxVersionBytes)), Current: r.committee()}
	if r.bool() {
		s.Next = r.committee()
	}
	for range r.count(maxConfigs, "key generations") {
		s.Configs = append(s.Configs, r.config())
	}
	if r.err == nil && len(r.left) > 0 {
		r.err = fmt.Errorf("%d bytes after the end", len(r.left))
	}
	if r.err != nil {
		return nil, fmt.Errorf("decode summary: %w", r.err)
	}
	return s, nil
}

func (w *writer) committee(c *Committee) {
	w.uint(c.Registry)
	w.uint(uint64(len(c.Members)))
	for _, m := range c.Members {
		w.member(m)
	}
	w.blob(c.Low)
	w.blob(c.High)
}

func (r *reader) committee() *Committee {
	c := &Committee{Registry: r.uint()}
	for range r.count(maxMembers, "members") {
		c.Members = append(c.Members, r.member())
	}
	r.ordered(len(c.Members), func(i int) []byte { return c.Members[i].Node.Bytes() })
	c.Low, c.High = r.blob(maxTranscriptBytes), r.blob(maxTranscriptBytes)
	return c
}

func (w *writer) member(m Member) {
	w.blob(m.Node.Bytes())
	w.blob(m.Key)
}

func (r *reader) member() Member {
	return Member{ic.NodeID{Principal: ic.Principal(r.blob(ic.MaxPrincipalBytes))}, r.blob(maxSignatureBytes)}
}

func (w *writer) config(c *Config) {
	*w = append(*w, c.Target[:]...)
	*w = append(*w, bit(c.High))
	w.uint(c.Registry)
	w.uint(uint64(len(c.Receivers)))
	for _, m := range c.Receivers {
		w.member(m.Member)
		w.blob(m.Encryption)
	}
}

func (r *reader) config() Config {
	c := Config{Target: r.hash(), High: r.bool(), Registry: r.uint()}
	for range r.count(maxMembers, "receivers") {
		c.Receivers = append(c.Receivers, Receiver{r.member(), r.blob(maxKeyBytes)})
	}
	r.ordered(len(c.Receivers), func(i int) []byte { return c.Receivers[i].Node.Bytes() })
	return c
}

func bit(b bool) byte {
	if b {
		return 1
	}
	return 0
}

func (r *reader) bool() bool {
	b := r.byte()
	if b > 1 {
		r.fail(errors.New("neither yes nor no"))
	}
	return b == 1
}

func (r *reader) count(limit uint64, of string) uint64 {
	n := r.uint()
	if n > limit {
		r.fail(fmt.Errorf("%d %s, the limit is %d", n, of, limit))
		return 0
	}
	return n
}

// ordered: one encoding of a set, and no node twice.
func (r *reader) ordered(n int, at func(int) []byte) {
	for i := 1; i < n && r.err == nil; i++ {
		if bytes.Compare(at(i-1), at(i)) >= 0 {
			r.fail(errors.New("nodes are not in order"))
		}
	}
}

// Dealt is a dealing in a block: by a member of the current committee, of the
// summary's config with an index.
type Dealt struct {
	Config, Dealer uint64
	Raw            []byte
}

func (d Dealt) before(e Dealt) bool {
	return d.Config < e.Config || d.Config == e.Config && d.Dealer < e.Dealer
}

// EncodeDealings makes a DealingsSection.
func EncodeDealings(list []Dealt) []byte {
	w := writer{}
	w.uint(uint64(len(list)))
	for _, d := range list {
		w.uint(d.Config)
		w.uint(d.Dealer)
		w.blob(d.Raw)
	}
	return w
}

// DecodeDealings reads what EncodeDealings made and nothing else.
func DecodeDealings(data []byte) (out []Dealt, err error) {
	r := &reader{left: data}
	for range r.count(maxDealings, "dealings") {
		out = append(out, Dealt{r.uint(), r.uint(), r.blob(MaxDealingBytes)})
	}
	sorted := true
	for i := 1; i < len(out); i++ {
		sorted = sorted && out[i-1].before(out[i])
	}
	switch {
	case r.err == nil && len(r.left) > 0:
		r.err = fmt.Errorf("%d bytes after the end", len(r.left))
	case r.err == nil && !sorted:
		r.err = errors.New("dealings are not in order")
	case r.err == nil && len(out) == 0:
		r.err = errors.New("no dealings")
	}
	if r.err != nil {
		return nil, fmt.Errorf("decode dealings: %w", r.err)
	}
	return out, nil
}
