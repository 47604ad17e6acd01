package repro

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"
)

// longAgo is the second tree's file time.
var longAgo = time.Date(2001, 9, 9, 1, 46, 40, 0, time.UTC)

// nobody is Debian's user and group for things that own nothing.
const nobody = 65534

// Second is a build of the same sources under other circumstances.
type Second struct {
	Root    string   // the first tree
	Files   []string // its source files
	Dir     string   // an empty folder for the second
	GoCache bool     // take an empty Go build cache: a proof for the Go code too, and slower
}

// Build runs mk image in the copy and returns its out folder.
func (s Second) Build(ctx context.Context) (string, error) {
	tree := filepath.Join(s.Dir, "another place", "ashlar")
	if err := s.copy(tree); err != nil {
		return "", fmt.Errorf("copy the sources: %w", err)
	}
	cmd := exec.CommandContext(ctx, "go", "run", "-trimpath", "-buildvcs=false", "./build/cmd/mk", "image")
	cmd.Dir = tree
	if os.Geteuid() == 0 {
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
		if err := s.give(); err != nil { // before the modules come: those links are not his
			return "", err
		}
	}
	env, err := s.environment()
	if err != nil {
		return "", err
	}
	cmd.Env = env
	old := syscall.Umask(0o077)
	out, err := cmd.CombinedOutput()
	syscall.Umask(old)
	if err != nil {
		return "", fmt.Errorf("the second build failed: %w\n%s", err, out)
	}
	return filepath.Join(tree, "out"), nil
}

// environment is another user's, in another place, with one core.
func (s Second) environment() ([]string, error) {
	modules, err := exec.Command("go", "env", "GOMODCACHE", "GOCACHE").Output()
	if err != nil {
		return nil, fmt.Errorf("ask go for its caches: %w", err)
	}
	var mod, shared string
	if _, err := fmt.Sscan(string(modules), &mod, &shared); err != nil {
		return nil, err
	}
	cache := filepath.Join(s.Dir, "gocache")
	if os.Geteuid() != 0 && !s.GoCache {
		cache = shared // the other user could not write to ours
	}
	if os.Geteuid() == 0 {
		linked := filepath.Join(s.Dir, "modules")
		if err := linkModules(linked, mod); err != nil {
			return nil, fmt.Errorf("hand the Go modules to the other user: %w", err)
		}
		mod = linked
	}
	return []string{"PATH=" + os.Getenv("PATH"), "HOME=" + s.Dir, "USER=somebody", "LOGNAME=somebody", "TZ=Asia/Kathmandu", "LANG=tr_TR.UTF-8", "LC_ALL=C.UTF-8",
		"SOURCE_DATE_EPOCH=1", "GOMAXPROCS=1", "GOMODCACHE=" + mod, "GOCACHE=" + cache, "GOTOOLCHAIN=local", "GOFLAGS=", "GOPROXY=off", "TMPDIR=" + s.Dir}, nil
}

// copy makes the second tree: sources with other times, and the two inputs that
// are the same for everybody who rebuilds a release: pinned files and keys.
func (s Second) copy(tree string) error {
	for _, f := range s.Files {
		if err := copyFile(filepath.Join(tree, f), filepath.Join(s.Root, f)); err != nil {
			return err
		}
	}
	keys, _ := filepath.Glob(filepath.Join(s.Root, "keys", "*"))
	debs, _ := filepath.Glob(filepath.Join(s.Root, ".cache", "deb", "*.deb"))
	for _, f := range append(keys, debs...) {
		rel, err := filepath.Rel(s.Root, f)
		if err != nil {
			return err
		}
		if err := copyFile(filepath.Join(tree, rel), f); err != nil {
			return err
		}
	}
	return nil
}

func copyFile(to, from string) error {
	if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
		return err
	}
	src, err := os.Open(from)
	if err != nil {
		return err
	}
	defer src.Close()
	i, err := src.Stat()
	if err != nil {
		return err
	}
	dst, err := os.OpenFile(to, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, i.Mode().Perm())
	if err != nil {
		return err
	}
	_, err = io.Copy(dst, src)
	return errors.Join(err, dst.Close(), os.Chtimes(to, longAgo, longAgo))
}

// linkModules gives the other user Go's module cache, whose own folder may be
// closed to him. The files are links: their bytes are checked against go.sum anyway.
func linkModules(to, from string) error {
	return filepath.WalkDir(from, func(p string, d os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, _ := filepath.Rel(from, p)
		target := filepath.Join(to, rel)
		switch ext := filepath.Ext(p); {
		case d.IsDir():
			return errors.Join(os.MkdirAll(target, 0o755), os.Chown(target, nobody, nobody))
		case ext == ".lock" || ext == ".zip" || d.Name() == "lock":
			return nil // locks are everybody's own; the archives are unpacked beside them
		}
		if os.Link(p, target) == nil {
			return nil
		}
		return copyFile(target, p)
	})
}

// give makes the other user the owner of the second tree.
func (s Second) give() error {
	return filepath.WalkDir(s.Dir, func(p string, _ os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		return os.Lchown(p, nobody, nobody)
	})
}
