package pins

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"ashlar/build/deb"
)

// Store is the cache of pinned files on this machine.
type Store struct {
	Dir string                           // usually .cache
	Say func(format string, args ...any) // progress, one line each
}

// Unpacked returns the folder that holds the files of p, fetching them if need be.
func (s *Store) Unpacked(p Pin) (string, error) {
	dir := filepath.Join(s.Dir, "deb", p.SHA256)
	if _, err := os.Stat(dir); err == nil {
		return dir, nil
	}
	file, err := s.Fetch(p)
	if err != nil {
		return "", err
	}
	f, err := os.Open(file)
	if err != nil {
		return "", err
	}
	defer f.Close()
	tmp, err := os.MkdirTemp(filepath.Join(s.Dir, "deb"), "unpack-")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(tmp)
	if err := deb.Unpack(f, tmp); err != nil {
		return "", fmt.Errorf("unpack %s: %w", p, err)
	}
	if err := os.Chmod(tmp, 0o755); err != nil {
		return "", err
	}
	if err := os.Rename(tmp, dir); err != nil && !errors.Is(err, os.ErrExist) {
		if _, again := os.Stat(dir); again != nil { // another build may have won the race
			return "", err
		}
	}
	return dir, nil
}

// UnpackedAll returns the folders of pins, in their order. What is missing is
// asked for in one run of apt-get, which is much faster than one run each.
func (s *Store) UnpackedAll(pins []Pin) ([]string, error) {
	s.fetchMissing(pins)
	dirs := make([]string, len(pins))
	for i, p := range pins {
		var err error
		if dirs[i], err = s.Unpacked(p); err != nil {
			return nil, err
		}
	}
	return dirs, nil
}

// fetchMissing is best effort: whatever it does not bring, Fetch asks for again, by name, and explains.
func (s *Store) fetchMissing(pins []Pin) {
	missing := map[string]string{} // by hash
	for _, p := range pins {
		if _, err := os.Stat(s.file(p)); err != nil {
			missing[p.SHA256] = p.Package + ":" + p.Arch + "=" + p.Version
		}
	}
	if len(missing) < 2 || os.MkdirAll(filepath.Join(s.Dir, "deb"), 0o755) != nil {
		return
	}
	tmp, err := os.MkdirTemp(filepath.Join(s.Dir, "deb"), "fetch-")
	if err != nil {
		return
	}
	defer os.RemoveAll(tmp)
	s.say("fetch %d packages from Debian's mirror", len(missing))
	if apt(tmp, "download", nil, slices.Sorted(maps.Values(missing))...) != nil {
		return
	}
	got, _ := filepath.Glob(filepath.Join(tmp, "*.deb"))
	for _, f := range got {
		if sum, err := sumFile(f); err == nil && missing[sum] != "" {
			os.Rename(f, filepath.Join(s.Dir, "deb", sum+".deb"))
		}
	}
}

func (s *Store) file(p Pin) string { return filepath.Join(s.Dir, "deb", p.SHA256+".deb") }

// Fetch returns the checked package file of p, from the cache or from Debian's mirror.
func (s *Store) Fetch(p Pin) (string, error) {
	path := s.file(p)
	if _, err := os.Stat(path); err == nil {
		return path, nil // it was checked before it got this name
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return "", err
	}
	tmp, err := os.MkdirTemp(filepath.Join(s.Dir, "deb"), "fetch-")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(tmp)
	s.say("fetch %s", p)
	got, err := s.download(tmp, p.Package+":"+p.Arch+"="+p.Version)
	if err != nil {
		return "", gone(p, err)
	}
	sum, err := sumFile(got)
	if err != nil {
		return "", err
	}
	if sum != p.SHA256 {
		return "", mismatch(p, sum)
	}
	return path, os.Rename(got, path)
}

func gone(p Pin, err error) error {
	return fmt.Errorf(`pins: cannot fetch %s, pinned for %s in %s
  the mirror may have dropped this version, or the network is down:
    %w
  to move the pins to what the mirror has now:  go run ./build/cmd/mk pins update`, p, p.Set, File, err)
}

func mismatch(p Pin, sum string) error {
	return fmt.Errorf(`pins: %s from the mirror is not the file that was pinned
  pinned:  %s
  fetched: %s
  nothing was used. If Debian rebuilt the package and you trust it:  go run ./build/cmd/mk pins update`, p, p.SHA256, sum)
}

// download runs apt-get download in dir; if the machine's package lists are
// missing or old, once more with lists of our own.
func (s *Store) download(dir, what string) (string, error) {
	err := apt(dir, "download", nil, what)
	if err != nil {
		if opts, lists := s.privateLists(); lists == nil {
			err = apt(dir, "download", opts, what)
		}
	}
	if err != nil {
		return "", err
	}
	files, err := filepath.Glob(filepath.Join(dir, "*.deb"))
	if err != nil || len(files) != 1 {
		return "", fmt.Errorf("apt-get download %s left %d files", what, len(files))
	}
	return files[0], nil
}

// privateLists refreshes package lists kept in our cache: no root needed, and
// the machine's own state stays as it is.
func (s *Store) privateLists() ([]string, error) {
	dir, err := filepath.Abs(filepath.Join(s.Dir, "apt"))
	if err != nil {
		return nil, err
	}
	for _, d := range []string{"lists/partial", "cache/archives/partial"} {
		if err := os.MkdirAll(filepath.Join(dir, d), 0o755); err != nil {
			return nil, err
		}
	}
	opts := []string{"-o", "Dir::State::lists=" + dir + "/lists", "-o", "Dir::Cache=" + dir + "/cache", "-o", "Debug::NoLocking=1"}
	s.say("refresh the package lists")
	return opts, apt(dir, "update", opts)
}

func apt(dir, verb string, opts []string, args ...string) error {
	all := append([]string{verb, "-q", "-o", "APT::Sandbox::User=root"}, opts...)
	cmd := exec.Command("apt-get", append(all, args...)...)
	cmd.Dir = dir
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	err := cmd.Run()
	if errors.Is(err, exec.ErrNotFound) {
		return errors.New("apt-get is not on this machine: building the images needs Debian (bookworm)")
	}
	if err != nil {
		return fmt.Errorf("apt-get %s: %s", verb, lastErrors(out.String()))
	}
	return nil
}

// lastErrors keeps apt's own error lines, which name the package and version.
func lastErrors(out string) string {
	var keep []string
	for _, l := range strings.Split(out, "\n") {
		if strings.HasPrefix(l, "E: ") {
			keep = append(keep, strings.TrimPrefix(l, "E: "))
		}
	}
	if len(keep) == 0 {
		return strings.TrimSpace(out)
	}
	return strings.Join(keep, "; ")
}

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

func (s *Store) say(format string, args ...any) {
	if s.Say != nil {
		s.Say(format, args...)
	}
}
