package node

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"

	"ashlar/build/images"
	"ashlar/image/layout"
	"ashlar/qemu-tests/lab"
)

// What lies in the node's folder.
const (
	diskFile  = "disk.img"
	varsFile  = "vars.fd"
	tpmDir    = "tpm"
	keyFile   = "admin.key" // the administrator's, for nodectl upgrade --key
	confFile  = "node.conf" // what the config partition holds
	madeFrom  = "made-from" // hash of the image that the disk's slots and the variables came from
	lockFile  = "lock"
	extraRoom = 3 << 30 // the disk is sparse; a demo's state is far smaller than this
)

// lock keeps two machines off one disk.
func lock(dir string) (unlock func(), err error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	f, err := os.OpenFile(filepath.Join(dir, lockFile), os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		f.Close()
		return nil, fmt.Errorf("the node of %s is running already: stop it with Ctrl-C where it was started", dir)
	}
	return func() { f.Close() }, nil
}

// prepare makes the node's disk, TPM and variables, or takes those of the last
// run. If the image is another one by now, its slots replace the disk's.
func prepare(root, dir string, r *images.Release) error {
	if err := images.Room(dir, extraRoom); err != nil {
		return err
	}
	if _, err := os.Stat(filepath.Join(dir, tpmDir)); errors.Is(err, fs.ErrNotExist) {
		if err := lab.NewTPM(filepath.Join(dir, tpmDir)); err != nil {
			return err
		}
	}
	id, err := identify(r)
	if err != nil {
		return err
	}
	if was, err := os.ReadFile(filepath.Join(dir, madeFrom)); err == nil && string(was) == id {
		return nil
	}
	if err := configure(root, dir); err != nil {
		return err
	}
	if err := newDisk(dir, r); err != nil {
		return err
	}
	vars, err := os.ReadFile(r.Vars)
	if err != nil {
		return err
	}
	return errors.Join(os.WriteFile(filepath.Join(dir, varsFile), vars, 0o644), os.WriteFile(filepath.Join(dir, madeFrom), []byte(id), 0o644))
}

// identify names an image by its bundle, which has the hashes of everything.
func identify(r *images.Release) (string, error) {
	h := sha256.New()
	for _, file := range []string{r.Bundle, r.Vars} {
		b, err := os.ReadFile(file)
		if err != nil {
			return "", err
		}
		sum := sha256.Sum256(b)
		h.Write(sum[:])
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

// newDisk puts a copy of the image in the place of the node's disk, with the data of the old one.
func newDisk(dir string, r *images.Release) error {
	disk, fresh := filepath.Join(dir, diskFile), filepath.Join(dir, diskFile+".new")
	if err := lab.Clone(fresh, r.Disk); err != nil {
		return err
	}
	if err := writeConfig(fresh, filepath.Join(dir, confFile)); err != nil {
		return err
	}
	if _, err := os.Stat(disk); err == nil {
		if err := keepData(fresh, disk); err != nil {
			return fmt.Errorf("keep the data of the last run: %w\n  to start afresh:  rm -r %s", err, dir)
		}
	}
	return os.Rename(fresh, disk)
}

// configure makes the administrator's key and the node.conf that names it, once.
func configure(root, dir string) error {
	conf := filepath.Join(dir, confFile)
	if _, err := os.Stat(conf); err == nil {
		return nil
	}
	os.Remove(filepath.Join(dir, keyFile)) // of a run that was cut off before it wrote node.conf
	out, err := exec.Command(nodectl(root), "keygen", filepath.Join(dir, keyFile)).CombinedOutput()
	if err != nil {
		return fmt.Errorf("nodectl keygen: %w: %s", err, out)
	}
	_, line, ok := strings.Cut(string(out), "admin_key")
	if !ok {
		return fmt.Errorf("nodectl keygen says no admin_key: %s", out)
	}
	return os.WriteFile(conf, []byte(images.NodeConf+"admin_key"+line), 0o644)
}

// writeConfig puts a node.conf on a disk's config partition.
func writeConfig(disk, conf string) error {
	text, err := os.ReadFile(conf)
	if err != nil {
		return err
	}
	return lab.Configure(disk, text)
}

// keepData copies the data partition of one disk to another of the same plan.
func keepData(to, from string) error {
	src, err := os.Open(from)
	if err != nil {
		return err
	}
	defer src.Close()
	i, err := src.Stat()
	if err != nil {
		return err
	}
	parts, err := layout.Find(src, i.Size())
	if err != nil {
		return err
	}
	data := parts[layout.Data]
	dst, err := os.OpenFile(to, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer dst.Close()
	there, err := layout.Find(dst, i.Size())
	if err != nil {
		return err
	}
	if there[layout.Data].Start != data.Start || there[layout.Data].Size != data.Size {
		return errors.New("the partition plan has changed")
	}
	return copyData(dst, src, data.Start, data.End())
}

// copyData copies what is not zero, so that the target stays sparse.
func copyData(dst, src *os.File, from, end int64) error {
	buf := make([]byte, 1<<20)
	zero := make([]byte, len(buf))
	for at := from; at < end; at += int64(len(buf)) {
		b := buf[:min(int64(len(buf)), end-at)]
		if _, err := src.ReadAt(b, at); err != nil {
			return err
		}
		if bytes.Equal(b, zero[:len(b)]) {
			continue
		}
		if _, err := dst.WriteAt(b, at); err != nil {
			return err
		}
	}
	return nil
}
