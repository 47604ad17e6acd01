package engine

import (
	"bytes"
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

// This file: code on disk. A kept module is two files: its machine code, which is
// mapped, and a record. That is the CRC-32C of the rest, the proof, length and CRC-32C
// of the machine code, where functions begin in it, and the prepared module with its
// shell as code. What is missing or damaged is made again; what cannot be written is
// the disk's fault and stops the node.

const (
	// cacheBytes is what the cache may take on disk.
	cacheBytes = 10 << 30
	// trimEvery so many new modules the bound is looked at.
	trimEvery = 32
	// layout of the files here; what has another one is not looked at.
	layout    = 2
	headBytes = 4 + 8 + 8 + 4
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
	fmt.Fprintln(h, layout)
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

// codeSuffix is that of a file with machine code, after the name of its record.
const codeSuffix = ".code"

func (c *cache) name(hash [32]byte) string {
	return filepath.Join(c.dir, "kept", hex.EncodeToString(hash[:]))
}

// kept is a module that was compiled before.
type kept struct {
	prep    *wasm.Prepared // its Code is the shell
	proof   uint64
	file    string // with the machine code
	bytes   uint64 // of it
	sum     uint32 // of it, CRC-32C
	offsets []int  // of functions in it
}

func (c *cache) read(hash [32]byte) *kept {
	b, err := os.ReadFile(c.name(hash))
	if err != nil || len(b) < headBytes || crc32.Checksum(b[4:], castagnoli) != binary.BigEndian.Uint32(b) {
		return nil
	}
	k := &kept{proof: binary.BigEndian.Uint64(b[4:]), file: c.name(hash) + codeSuffix, bytes: binary.BigEndian.Uint64(b[12:]), sum: binary.BigEndian.Uint32(b[20:])}
	if b = k.readOffsets(b[headBytes:]); b == nil {
		return nil
	}
	if k.prep, err = wasm.Decode(b); err != nil {
		return nil
	}
	return k
}

// readOffsets takes the offsets from the front of b, nil where they are none.
func (k *kept) readOffsets(b []byte) []byte {
	count, n := binary.Uvarint(b)
	if n <= 0 || count > uint64(len(b)) {
		return nil
	}
	b = b[n:]
	k.offsets = make([]int, count)
	at := uint64(0)
	for i := range k.offsets {
		more, n := binary.Uvarint(b)
		if n <= 0 || more >= k.bytes-at {
			return nil
		}
		at += more
		k.offsets[i], b = int(at), b[n:]
	}
	return b
}

func (k *kept) encode() ([]byte, error) {
	body, err := k.prep.Encode()
	if err != nil {
		return nil, err
	}
	b := binary.BigEndian.AppendUint64(make([]byte, 4, headBytes+2*len(k.offsets)+len(body)), k.proof)
	b = binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint64(b, k.bytes), k.sum)
	b = binary.AppendUvarint(b, uint64(len(k.offsets)))
	last := 0
	for _, at := range k.offsets {
		b = binary.AppendUvarint(b, uint64(at-last))
		last = at
	}
	b = append(b, body...)
	binary.BigEndian.PutUint32(b, crc32.Checksum(b[4:], castagnoli))
	return b, nil
}

// put writes a file as a whole.
func (c *cache) put(name string, b []byte) error {
	f, err := os.CreateTemp(c.dir, "new-*")
	if err != nil {
		return err
	}
	_, err = f.Write(b)
	if e := f.Close(); err == nil {
		err = e
	}
	if err == nil {
		err = os.Rename(f.Name(), name)
	}
	if err != nil {
		os.Remove(f.Name())
	}
	return err
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

// keep compiles a module and keeps its code.
func (c *cache) keep(rc wazero.RuntimeConfig, hash [32]byte, prep *wasm.Prepared) (*kept, error) {
	full, shell, proof, err := withProof(prep.Code)
	if err != nil {
		return nil, err
	}
	p := *prep
	p.Code = shell
	k := &kept{prep: &p, proof: proof, file: c.name(hash) + codeSuffix}
	code, err := k.compile(rc, full)
	if err != nil {
		return nil, err
	}
	record, err := k.encode()
	if err != nil {
		return nil, err
	}
	if err := c.putShell(rc, shell); err != nil {
		return nil, err
	}
	if err := errors.Join(c.put(k.file, code), c.put(c.name(hash), record)); err != nil {
		return nil, err
	}
	if c.written.Add(1)%trimEvery == 0 {
		trimCache(filepath.Dir(c.dir), cacheBytes)
	}
	return k, nil
}

// compile is the machine code of a module.
func (k *kept) compile(rc wazero.RuntimeConfig, module []byte) (code []byte, err error) {
	ctx := context.Background()
	r := wazero.NewRuntimeWithConfig(ctx, rc)
	defer r.Close(ctx)
	compiled, err := r.CompileModule(ctx, module)
	if err != nil {
		return nil, err
	}
	defer compiled.Close(ctx)
	err = withInside(compiled, func(in *inside) error {
		code, k.offsets = bytes.Clone(*in.code), slices.Clone(*in.offsets)
		return nil
	})
	k.bytes, k.sum = uint64(len(code)), crc32.Checksum(code, castagnoli)
	return code, err
}

// putShell writes under wazero's name for a shell that its code is empty: so that
// wazero takes it at once, and the code can be filled in.
func (c *cache) putShell(rc wazero.RuntimeConfig, shell []byte) error {
	from, name, err := c.compile(rc, shell)
	defer os.RemoveAll(from)
	if err != nil {
		return err
	}
	b, err := os.ReadFile(filepath.Join(from, name))
	if err != nil {
		return err
	}
	if b = emptied(b); b == nil {
		return errors.New("engine: files of this version of wazero are not known")
	}
	file := filepath.Join(c.dir, name)
	if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
		return err
	}
	return c.put(file, b)
}

// emptied is the head of wazero's file for a module without code: "WAZEVO", its
// version, the number of functions, the length of the code, no source map, no table
// of clauses.
func emptied(file []byte) []byte {
	const magic = "WAZEVO"
	if len(file) <= len(magic) || string(file[:len(magic)]) != magic {
		return nil
	}
	end := len(magic) + 1 + int(file[len(magic)])
	if end > len(file) {
		return nil
	}
	return append(bytes.Clone(file[:end]), make([]byte, 4+8+1+4)...)
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
