// Package registry is what a node knows of the network: records by key, each with
// all its versions, and each version with its proof.
//
//	genesis, `network` command, peers ── Take(signed change) ──> Store ── Get(key, version) ──> record
//	                                      │  signed by the authority that the version before names,
//	                                      │  the next in the chain of hashes, contradicting nothing
//	                                      └──> DIR/registry, append only, synced ── Open
//
//	chain.go    who may change it        check*.go   what the records must say together
//	file.go     versions on disk         feed.go     versions from and to others: HTTP, files
//	genesis.go  the first version        view.go     one subnet at one version, as a node reads it
//
// Readers name the version they mean: consensus puts it into blocks, so that all
// nodes read the same. Keys and records are those of the IC's registry
// (wire/records). Until the registry canister holds it, changes are signed by the
// Ed25519 keys of the record network_authority; the genesis is signed by the keys
// that it names itself, so whoever is given one must trust who gives it.
package registry

import (
	"errors"
	"fmt"
	"iter"
	"maps"
	"slices"
	"strings"
	"sync"

	"ashlar/replica/wire/records"
)

// Limits of what a file or a peer may bring.
const (
	maxRecordBytes = 2 << 20 // as the IC's: both transcripts of 40 nodes have 1.7 MB
	maxKeyBytes    = 256     // a prefix and two principals have 160
	maxMutations   = 4096    // in one version: a genesis of 256 nodes has 1100
	maxChangeBytes = records.MaxBytes
	maxVersions    = 1 << 20 // the IC had 56 000 after five years
	maxFileBytes   = 1 << 30
)

// Store is a registry up to its latest version. Many goroutines may use it.
type Store struct {
	taking sync.Mutex // one Take at a time

	mu      sync.RWMutex
	file    *file // nil: in memory only
	signed  [][]byte
	head    [32]byte // of the chain of hashes
	records map[string][]record
	now     snapshot
	changed chan struct{} // closed when there is a newer version
}

type record struct {
	version uint64
	value   []byte // nil: deleted
}

// snapshot is all records at one version.
type snapshot map[string][]byte

// New is an empty registry in memory, at version 0.
func New() *Store {
	return &Store{records: map[string][]record{}, now: snapshot{}, changed: make(chan struct{})}
}

// Changed is closed when there is a version above the latest of now.
func (s *Store) Changed() <-chan struct{} {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.changed
}

// Latest is the newest version.
func (s *Store) Latest() uint64 {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return uint64(len(s.signed))
}

// ErrNone: there is no such record at the version.
var ErrNone = errors.New("no such record")

// Value is a record as it was at a version.
func (s *Store) Value(key string, version uint64) ([]byte, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if latest := uint64(len(s.signed)); version > latest {
		return nil, fmt.Errorf("registry: version %d is asked for, the latest here is %d", version, latest)
	}
	all := s.records[key]
	for i := len(all) - 1; i >= 0; i-- {
		if all[i].version <= version && all[i].value != nil {
			return all[i].value, nil
		}
		if all[i].version <= version {
			break
		}
	}
	return nil, fmt.Errorf("registry: %s at version %d: %w", key, version, ErrNone)
}

// Get decodes the record as it was at a version.
func (s *Store) Get(key string, version uint64, into records.Message) error {
	value, err := s.Value(key, version)
	if err == nil {
		if err = records.Decode(value, into); err != nil {
			err = fmt.Errorf("registry: %s at version %d: %w", key, version, err)
		}
	}
	return err
}

// Keys of the records with a prefix at a version, in order.
func (s *Store) Keys(prefix string, version uint64) (out []string) {
	s.mu.RLock()
	var all []string
	for key := range s.records {
		if strings.HasPrefix(key, prefix) {
			all = append(all, key)
		}
	}
	s.mu.RUnlock()
	slices.Sort(all)
	for _, key := range all {
		if _, err := s.Value(key, version); err == nil {
			out = append(out, key)
		}
	}
	return out
}

// Take verifies the next version and keeps it: when it returns without an error, the
// version is on disk. What is held already is taken again without harm.
func (s *Store) Take(signed []byte) error {
	s.taking.Lock()
	defer s.taking.Unlock()
	c, err := s.parse(signed)
	if errors.Is(err, errHeld) {
		return nil
	}
	if err != nil {
		return err
	}
	next, err := s.now.apply(c.mutations, s.lastChanged)
	if err == nil {
		err = check(s.now, next)
	}
	if err != nil {
		return fmt.Errorf("registry: version %d is refused: %w", c.version, err)
	}
	if s.file != nil {
		if err := s.file.append(signed); err != nil {
			return err
		}
	}
	s.keep(c, next)
	return nil
}

// keep a version that is verified, and durable.
func (s *Store) keep(c *change, next snapshot) {
	s.mu.Lock()
	defer s.mu.Unlock()
	close(s.changed)
	s.changed = make(chan struct{})
	s.signed = append(s.signed, c.signed)
	s.head, s.now = c.hash, next
	for _, m := range c.mutations.Mutations {
		r := record{version: c.version}
		if m.Type != records.Delete {
			r.value = append([]byte{}, m.Value...)
		}
		s.records[string(m.Key)] = append(s.records[string(m.Key)], r)
	}
}

func (s *Store) lastChanged(key string) uint64 {
	all := s.records[key]
	if len(all) == 0 {
		return 0
	}
	return all[len(all)-1].version
}

// apply makes the next snapshot.
func (s snapshot) apply(m *records.Mutations, lastChanged func(string) uint64) (snapshot, error) {
	if len(m.Mutations) == 0 || len(m.Mutations) > maxMutations {
		return nil, fmt.Errorf("it changes %d records, the limits are 1 and %d", len(m.Mutations), maxMutations)
	}
	for _, p := range m.Preconditions {
		if v := lastChanged(string(p.Key)); v != p.Version {
			return nil, fmt.Errorf("it expects %s as of version %d, which was changed in version %d\n  make the change anew from the latest version", p.Key, p.Version, v)
		}
	}
	next := maps.Clone(s)
	seen := map[string]bool{}
	for _, m := range m.Mutations {
		key := string(m.Key)
		_, there := s[key]
		switch {
		case !printable(key) || len(key) > maxKeyBytes:
			return nil, fmt.Errorf("the key %.40q is not 1 to %d printable characters", key, maxKeyBytes)
		case len(m.Value) > maxRecordBytes:
			return nil, fmt.Errorf("record %s has %d bytes, the limit is %d", key, len(m.Value), maxRecordBytes)
		case seen[key]:
			return nil, fmt.Errorf("it changes %s twice", key)
		case m.Type == records.Insert && there:
			return nil, fmt.Errorf("it inserts %s, which is there already", key)
		case (m.Type == records.Update || m.Type == records.Delete) && !there:
			return nil, fmt.Errorf("it changes or deletes %s, which is not there", key)
		}
		seen[key] = true
		switch m.Type {
		case records.Insert, records.Update, records.Upsert:
			next[key] = append([]byte{}, m.Value...)
		case records.Delete:
			delete(next, key)
		default:
			return nil, fmt.Errorf("it does something unknown (%d) to %s", m.Type, key)
		}
	}
	return next, nil
}

func printable(key string) bool {
	for _, b := range []byte(key) {
		if b <= ' ' || b > '~' {
			return false
		}
	}
	return key != ""
}

// with yields the records under a prefix, in order of keys; rest is the key without it.
func (s snapshot) with(prefix string) iter.Seq2[string, []byte] {
	var keys []string
	for k := range s {
		if strings.HasPrefix(k, prefix) {
			keys = append(keys, k)
		}
	}
	slices.Sort(keys)
	return func(yield func(string, []byte) bool) {
		for _, k := range keys {
			if !yield(k[len(prefix):], s[k]) {
				return
			}
		}
	}
}

// get decodes one; false where it is not there.
func (s snapshot) get(key string, into records.Message) (bool, error) {
	value, ok := s[key]
	if !ok {
		return false, nil
	}
	if err := records.Decode(value, into); err != nil {
		return true, fmt.Errorf("%s: %w", key, err)
	}
	return true, nil
}
