package state

import "iter"

// Over builds the state that older (nil: nothing) becomes with changes, which
// yields entries in order of key, value nil for one that is gone.
func Over(older *State, changes func(yield func(key string, value []byte) bool) error) (*State, error) {
	if older == nil {
		return Load(changes)
	}
	return Load(func(yield func(key string, value []byte) bool) (err error) {
		next, stop := iter.Pull2(func(yield func(string, []byte) bool) { err = changes(yield) })
		defer stop()
		key, value, ok := next()
		more := true
		put := func() {
			if value != nil {
				more = yield(key, value)
			}
			key, value, ok = next()
		}
		older.Diff(nil, func(old string, was []byte) bool {
			for more && ok && key < old {
				put()
			}
			switch {
			case !more:
			case ok && key == old:
				put()
			default:
				more = yield(old, was)
			}
			return more
		})
		for more && ok {
			put()
		}
		return err
	})
}
