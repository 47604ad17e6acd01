package admin

import (
	"crypto/rand"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"testing"

	"ashlar/replica/crypto/keystore"
	"ashlar/replica/ic"
	"ashlar/replica/registry"
)

// Nodes that offer a key get it, those that do not keep theirs, and it is one version.
func TestRotateKeys(t *testing.T) {
	n := founded(t, 4)
	offers := make([]*registry.Offer, 3)
	for i := range offers {
		k, err := keystore.Load(filepath.Join(n.dir, string(rune('1'+i))))
		if err == nil && i > 0 {
			err = k.Rotate(rand.Reader)
		}
		if err == nil {
			offers[i], err = registry.MakeOffer(rand.Reader, k)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	var urls []string
	for _, o := range append(offers, nil) {
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if o == nil || r.URL.Path != registry.DealingPath {
				http.NotFound(w, r)
				return
			}
			_ = json.NewEncoder(w).Encode(o)
		}))
		defer s.Close()
		urls = append(urls, s.URL)
	}
	var told []error
	tell := func(_ string, _ ic.NodeID, err error) { told = append(told, err) }
	if err := n.RotateKeys(t.Context(), tell, urls...); err != nil {
		t.Fatal(err)
	}
	if len(told) != 4 || !errors.Is(told[0], registry.ErrOffered) || told[1] != nil || told[2] != nil || told[3] == nil || n.Latest() != 2 {
		t.Errorf("version %d, %v", n.Latest(), told)
	}
	if err := n.RotateKeys(t.Context(), tell, urls...); err == nil || n.Latest() != 2 {
		t.Errorf("version %d without any offer: %v", n.Latest(), err)
	}
}
