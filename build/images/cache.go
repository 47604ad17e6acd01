package images

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sort"
	"strings"
	"sync"
	"time"
)

// keepParts is how many versions of one part stay in the cache: the one in
// use, the one before an edit, and a second release for an upgrade test.
const keepParts = 4

// cache keeps parts of the build by the hash of everything that went into them.
type cache struct{ dir string }

// key collects what a part depends on.
type key struct{ lines []string }

func (k *key) add(what, value string) { k.lines = append(k.lines, what+" "+value) }

// file adds the content of a file.
func (k *key) file(path string) error {
	sum, err := sumFile(path)
	if err == nil {
		k.add("file", sum)
	}
	return err
}

func (k *key) sum() string {
	h := sha256.New()
	for _, l := range k.lines {
		fmt.Fprintf(h, "%d %s\n", len(l), l)
	}
	return hex.EncodeToString(h.Sum(nil)[:16])
}

// part returns the folder that make fills, from the cache if the key was seen before.
func (c cache) part(name string, k *key, make func(dir string) error) (string, error) {
	dir := filepath.Join(c.dir, name+"-"+k.sum())
	now := time.Now()
	if os.Chtimes(dir, now, now) == nil { // also marks it as used
		return dir, nil
	}
	if err := os.MkdirAll(c.dir, 0o755); err != nil {
		return "", err
	}
	tmp, err := os.MkdirTemp(c.dir, "making-")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(tmp)
	if err := make(tmp); err != nil {
		return "", err
	}
	if err := errors.Join(os.Chmod(tmp, 0o755), os.Rename(tmp, dir)); err != nil {
		return "", err
	}
	return dir, c.prune(name)
}

// prune removes the parts of a name that were not used for the longest time.
func (c cache) prune(name string) error {
	all, err := filepath.Glob(filepath.Join(c.dir, name+"-????????????????????????????????"))
	if err != nil || len(all) <= keepParts {
		return err
	}
	used := func(p string) time.Time {
		i, err := os.Stat(p)
		if err != nil {
			return time.Time{}
		}
		return i.ModTime()
	}
	sort.Slice(all, func(i, j int) bool { return used(all[i]).After(used(all[j])) })
	for _, old := range all[keepParts:] {
		if err := os.RemoveAll(old); err != nil {
			return err
		}
	}
	return nil
}

// builder is the hash of this program: another builder may make other bytes of the same inputs.
var builder = sync.OnceValues(func() (string, error) {
	exe, err := os.Executable()
	if err != nil {
		return "", err
	}
	return sumFile(exe)
})

func sumFile(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return "", err
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

func quoted(list []string) string { return strings.Join(list, "\x00") }
