package state

import (
	"iter"

	"ashlar/replica/state/pages"
)

// Incoming is one entry of a state that came from elsewhere. Where Pages are set,
// Key is that of their memory; those without a Page are gone.
type Incoming struct {
	Key   string
	Value []byte
	Pages []pages.Held
	Gone  bool // the entry, or all of the memory
}

// Over builds the state that older (nil: nothing) becomes with changes, which come
// in order of key.
func Over(older *State, changes func(yield func(Incoming) bool) error) (*State, error) {
	if older == nil {
		older = &State{}
	}
	memories := map[string]pages.Map{}
	each := func(yield func(key string, value []byte) bool) (err error) {
		next, stop := iter.Pull(func(yield func(Incoming) bool) { err = changes(yield) })
		defer stop()
		in, ok := next()
		more := true
		put := func(was pages.Map) {
			switch {
			case in.Pages != nil:
				memories[in.Key] = was.Over(in.Pages)
				more = yield(in.Key, nil)
			case !in.Gone:
				more = yield(in.Key, in.Value)
			}
			in, ok = next()
		}
		until := func(key string) (same bool) {
			for more && ok && in.Key < key {
				put(pages.Map{})
			}
			return ok && in.Key == key
		}
		entry := func(key string, was []byte) bool {
			if until(key) {
				put(pages.Map{})
			} else if more {
				more = yield(key, was)
			}
			return more
		}
		older.Changes(nil, entry, func(key string, _, was pages.Map) bool {
			if until(key) {
				put(was)
			} else if more {
				memories[key] = was
				more = yield(key, nil)
			}
			return more
		})
		for more && ok {
			put(pages.Map{})
		}
		return err
	}
	return Open(each, func(key string, _ []byte) (pages.Map, error) { return memories[key], nil }, nil)
}
