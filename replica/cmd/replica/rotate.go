package main

import (
	"crypto/rand"
	"encoding/json"
	"fmt"
	"net/http"

	"ashlar/replica/registry"
)

// offer the next generation of the dealing key: it is drawn when somebody first asks, and
// stays the same until the registry has it, so that nobody fills the key file.
func (r *replica) offer(w http.ResponseWriter, _ *http.Request) {
	o, err := r.nextKey()
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(o)
}

func (r *replica) nextKey() (*registry.Offer, error) {
	r.rotating.Lock()
	defer r.rotating.Unlock()
	published, err := r.registry.Generation(r.keys.NodeID(), r.registry.Latest())
	if err != nil {
		return nil, err
	}
	if _, newest := r.keys.Generations(); newest <= published {
		if err := r.keys.Rotate(rand.Reader); err != nil {
			return nil, err
		}
		if err := r.keys.Save(r.dir); err != nil {
			return nil, err
		}
	}
	return registry.MakeOffer(rand.Reader, r.keys)
}

// retire the dealing keys that nothing in use was dealt to: all that is, was dealt to the
// keys of a version of the registry from this one on.
func (r *replica) retire(version uint64, log func(string, ...any)) error {
	since, err := r.registry.Generation(r.keys.NodeID(), version)
	if err != nil {
		return nil // it was no node then, and nothing was dealt to it
	}
	oldest, _ := r.keys.Generations()
	if oldest >= since {
		return nil
	}
	r.keys.Retire(since)
	if err := r.keys.Save(r.dir); err != nil {
		return fmt.Errorf("erase old keys for dealings: %w", err)
	}
	log("keys for dealings before generation %d are erased: nothing that is in use was dealt to them", since)
	return nil
}
