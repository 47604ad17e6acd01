package engine

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"sync/atomic"

	"github.com/tetratelabs/wazero"

	"ashlar/replica/execution/wasm"
)

// This file: code on disk. A kept module is the CRC-32C of the rest, the proof, the
// length and end of the file with its compiled code, which wazero ends with a CRC of
// the code, the file's name, and the prepared module with its shell as code. What is
// missing or damaged is made again; what cannot be written is the disk's fault and
// stops the node.

const (
	// cacheBytes is what the cache may take on disk.
	cacheBytes = 10 << 30
	// trimEvery so many new modules the bound is looked at.
	trimEvery = 32
	maxName   = 255
	endBytes  = 32
	headBytes = 4 + 8 + 8 + endBytes + 1
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// cache is the directory of compiled code, for one version of the rewriting pass
// and one set of imports.
type cache struct {
	dir     string // wazero's, and kept/ of ours
	written atomic.Int64
}

func newCache(dir string, imports []wasm.Import) (*cache, error) {
	h := sha256.New()
	for _, i := range imports {
		fmt.Fprintln(h, i)
	}
	c := &cache{dir: filepath.Join(dir, fmt.Sprintf("pass-%d-%x", wasm.Version, h.Sum(nil)[:8]))}
	if err := os.MkdirAll(filepath.Join(c.dir, "kept"), 0o700); err != nil {
		return nil, fmt.Errorf("open the cache of compiled code: %w", err)
	}
	old, _ := filepath.Glob(filepath.Join(c.dir, "new-*")) // of a crash
	for _, name := range old {
		os.RemoveAll(name)
	}
	trimCache(dir, cacheBytes)
	return c, nil
}

func (c *cache) name(hash [32]byte) string {
	return filepath.Join(c.dir, "kept", hex.EncodeToString(hash[:]))
}

// kept is a module that was compiled before.
type kept struct {
	prep  *wasm.Prepared // its Code is the shell
	proof uint64
	file  string // with the compiled code
	bytes uint64 // of it
}

func (c *cache) read(hash [32]byte) *kept {
	b, err := os.ReadFile(c.name(hash))
	if err != nil || len(b) < headBytes || crc32.Checksum(b[4:], castagnoli) != binary.BigEndian.Uint32(b) || len(b) < headBytes+int(b[headBytes-1]) {
		return nil
	}
	name, rest := b[headBytes:headBytes+int(b[headBytes-1])], b[headBytes+int(b[headBytes-1]):]
	k := &kept{proof: binary.BigEndian.Uint64(b[4:]), file: filepath.Join(c.dir, string(name))}
	end, err := k.look()
	if err != nil || k.bytes != binary.BigEndian.Uint64(b[12:]) || string(end) != string(b[20:20+endBytes]) {
		return nil
	}
	if k.prep, err = wasm.Decode(rest); err != nil {
		return nil
	}
	return k
}

// look at the file of compiled code: how long it is, and how it ends.
func (k *kept) look() (end []byte, err error) {
	f, err := os.Open(k.file)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	k.bytes = uint64(info.Size())
	end = make([]byte, endBytes)
	_, err = f.ReadAt(end, max(0, info.Size()-endBytes))
	return end, err
}

func (c *cache) write(hash [32]byte, k *kept) error {
	body, err := k.prep.Encode()
	if err != nil {
		return err
	}
	file, err := filepath.Rel(c.dir, k.file)
	if err != nil || len(file) > maxName {
		return errors.Join(err, fmt.Errorf("name of %d bytes", len(file)))
	}
	end, err := k.look()
	if err != nil {
		return err
	}
	b := binary.BigEndian.AppendUint64(make([]byte, 4, headBytes+len(file)+len(body)), k.proof)
	b = append(binary.BigEndian.AppendUint64(b, k.bytes), end...)
	b = append(append(append(b, byte(len(file))), file...), body...)
	binary.BigEndian.PutUint32(b, crc32.Checksum(b[4:], castagnoli))
	f, err := os.CreateTemp(c.dir, "new-*")
	if err != nil {
		return err
	}
	_, err = f.Write(b)
	if e := f.Close(); err == nil {
		err = e
	}
	if err == nil {
		err = os.Rename(f.Name(), c.name(hash))
	}
	if err != nil {
		os.Remove(f.Name())
		return err
	}
	if c.written.Add(1)%trimEvery == 0 {
		trimCache(filepath.Dir(c.dir), cacheBytes)
	}
	return nil
}

// compile lets wazero compile a module into a directory of its own, and returns the
// name that it gave the file, under where it looks.
func (c *cache) compile(rc wazero.RuntimeConfig, module []byte) (dir, name string, err error) {
	ctx := context.Background()
	if dir, err = os.MkdirTemp(c.dir, "new-*"); err != nil {
		return "", "", err
	}
	store, err := wazero.NewCompilationCacheWithDir(dir)
	if err != nil {
		return dir, "", err
	}
	defer store.Close(ctx)
	r := wazero.NewRuntimeWithConfig(ctx, rc.WithCompilationCache(store))
	defer r.Close(ctx)
	compiled, err := r.CompileModule(ctx, module)
	if err != nil {
		return dir, "", err
	}
	compiled.Close(ctx)
	err = filepath.WalkDir(dir, func(at string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			name, err = filepath.Rel(dir, at)
		}
		return err
	})
	if err == nil && name == "" {
		err = errors.New("engine: wazero has kept no compiled code")
	}
	return dir, name, err
}

// keep compiles a module and keeps its code under the name of its shell.
func (c *cache) keep(rc wazero.RuntimeConfig, hash [32]byte, prep *wasm.Prepared) (*kept, error) {
	full, shell, proof, err := withProof(prep.Code)
	if err != nil {
		return nil, err
	}
	from, code, err := c.compile(rc, full)
	defer os.RemoveAll(from)
	if err != nil {
		return nil, err
	}
	other, name, err := c.compile(rc, shell)
	defer os.RemoveAll(other)
	if err != nil {
		return nil, err
	}
	p := *prep
	p.Code = shell
	k := &kept{prep: &p, proof: proof, file: filepath.Join(c.dir, name)}
	if err := os.MkdirAll(filepath.Dir(k.file), 0o700); err != nil {
		return nil, err
	}
	if err := os.Rename(filepath.Join(from, code), k.file); err != nil {
		return nil, err
	}
	return k, c.write(hash, k)
}

// trimCache deletes the oldest files until what is left is below a bound. It is a
// cache: what goes is made again, so a failure is nobody's loss.
func trimCache(dir string, bound int64) {
	type file struct {
		name string
		info fs.FileInfo
	}
	var all []file
	var sum int64
	_ = filepath.WalkDir(dir, func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return nil
		}
		if info, err := d.Info(); err == nil {
			all = append(all, file{name, info})
			sum += info.Size()
		}
		return nil
	})
	slices.SortFunc(all, func(a, b file) int { return a.info.ModTime().Compare(b.info.ModTime()) })
	for _, f := range all {
		if sum <= bound {
			return
		}
		if os.Remove(f.name) == nil {
			sum -= f.info.Size()
		}
	}
}
