package registry

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// Path is where Handler is served.
const Path = "/_/registry"

// VersionHeader of each answer names the version that the node has.
const VersionHeader = "Ashlar-Registry-Version"

// IncomingDir under the state directory is where signed changes can be laid by hand.
const IncomingDir = "registry.incoming"

// Limits of what is passed on at a time.
const (
	maxFeedBytes = 2 * maxChangeBytes
	maxFeed      = 1000 // versions: as the registry canister's
	maxIncoming  = 1000 // files
)

// ChangesSince are the versions after one, as they were signed, as many as fit.
func (s *Store) ChangesSince(version uint64) (out [][]byte) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	size := 0
	for v := version; v < uint64(len(s.signed)) && len(out) < maxFeed; v++ {
		if size += around + len(s.signed[v]); size > maxFeedBytes {
			break
		}
		out = append(out, s.signed[v])
	}
	return out
}

// Join and Split put changes one after the other and take them apart: the form of
// files and of HTTP, which is that of the registry file without its first line.
func Join(changes [][]byte) (out []byte) {
	for _, c := range changes {
		out = append(out, entry(c)...)
	}
	return out
}

// Split takes apart what Join made.
func Split(data []byte) (out [][]byte, err error) {
	for len(data) > 0 {
		c, err := next(data)
		if err != nil {
			return nil, fmt.Errorf("changes of a registry: %w", err)
		}
		out = append(out, c)
		data = data[around+len(c):]
	}
	return out, nil
}

// TakeAll takes changes in their order, up to the first that is refused.
func (s *Store) TakeAll(data []byte) error {
	changes, err := Split(data)
	for _, c := range changes {
		if err := s.Take(c); err != nil {
			return err
		}
	}
	return err
}

// Handler answers GET ?since=V with the versions after V, and takes versions that
// are posted. Nobody needs to be known for either: what the registry holds is
// public, and what it takes is signed.
func (s *Store) Handler() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.Method {
		case http.MethodGet:
			since, err := strconv.ParseUint(r.URL.Query().Get("since"), 10, 64)
			if err != nil {
				http.Error(w, "say from where on: ?since=VERSION", http.StatusBadRequest)
				return
			}
			w.Header().Set("Content-Type", "application/octet-stream")
			w.Header().Set(VersionHeader, fmt.Sprint(s.Latest()))
			w.Write(Join(s.ChangesSince(since)))
		case http.MethodPost:
			data, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxFeedBytes))
			if err == nil {
				err = s.TakeAll(data)
			}
			if err != nil {
				http.Error(w, err.Error(), http.StatusUnprocessableEntity)
				return
			}
			w.Header().Set(VersionHeader, fmt.Sprint(s.Latest()))
			fmt.Fprintf(w, "version %d\n", s.Latest())
		default:
			w.Header().Set("Allow", "GET, POST")
			http.Error(w, "GET or POST", http.StatusMethodNotAllowed)
		}
	})
}

// TakeDir takes the changes that somebody laid into DIR/registry.incoming, in order
// of their names. What was taken is removed; what is refused is renamed, and log
// says why. The node calls it now and then.
func (s *Store) TakeDir(dir string, log func(format string, args ...any)) error {
	dir = filepath.Join(dir, IncomingDir)
	files, err := os.ReadDir(dir)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("read changes of the registry: %w", err)
	}
	files = slices.DeleteFunc(files, func(f os.DirEntry) bool { return !f.Type().IsRegular() || !strings.HasSuffix(f.Name(), ".change") })
	for _, f := range files[:min(len(files), maxIncoming)] {
		path := filepath.Join(dir, f.Name())
		err := s.takeFile(path)
		if err == nil {
			log("registry: took %s, now at version %d", f.Name(), s.Latest())
			err = os.Remove(path)
		} else {
			log("registry: %s: %v", f.Name(), err)
			err = os.Rename(path, path+".refused")
		}
		if err != nil {
			return fmt.Errorf("put away a change of the registry: %w", err)
		}
	}
	return nil
}

func (s *Store) takeFile(path string) error {
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	if info.Size() > maxFeedBytes {
		return fmt.Errorf("it has %d bytes, the limit is %d", info.Size(), maxFeedBytes)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	return s.TakeAll(data)
}
