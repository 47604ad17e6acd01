package images

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sort"
	"strings"

	"ashlar/build/progress"
	"ashlar/image/assemble"
	"ashlar/image/bundle"
	"ashlar/image/keys"
	"ashlar/image/slots"
	"ashlar/image/tree"
	"ashlar/image/varstore"
)

// diskBytes is the size of the image that `make run` boots. It is sparse: what
// is not used costs nothing.
const diskBytes = 8 << 30

// varsTemplate is OVMF's empty variable store, in the vmm set.
const varsTemplate = "usr/share/OVMF/OVMF_VARS_4M.fd"

// NodeConf is the configuration that development images carry: QEMU's user-mode
// network, where the host is 10.0.2.15 and its guest 10.0.2.16.
const NodeConf = `# A node in QEMU's user-mode network.
name = dev-node
ipv4 = 10.0.2.15/24
ipv4_gateway = 10.0.2.2
guest_ipv4 = 10.0.2.16/24
`

func (b *Builder) bundle(r *Release) (string, error) {
	m, err := b.manifest(r)
	if err != nil {
		return "", err
	}
	sources := []bundle.Source{bundle.File("host-esp", r.Host.ESP), bundle.File("host-root", r.Host.Root), bundle.File("guest", r.guestDisk())}
	k := &key{}
	if err := b.bundleKey(k, m, r); err != nil {
		return "", err
	}
	dir, err := b.cache.part("bundle", k, func(dir string) error {
		f, err := os.Create(filepath.Join(dir, "release.bundle"))
		if err != nil {
			return err
		}
		m, err := bundle.Write(f, m, sources, b.Keys.Release, dir)
		if err != nil {
			return errors.Join(err, f.Close())
		}
		j, err := json.MarshalIndent(m, "", " ")
		return errors.Join(err, f.Close(), os.WriteFile(filepath.Join(dir, "manifest.json"), append(j, '\n'), 0o644))
	})
	if err != nil {
		return "", err
	}
	pub, err := keys.EncodePublic(&b.Keys.Release.PublicKey)
	if err != nil {
		return "", err
	}
	r.Bundle = filepath.Join(r.Dir, "ashlar-"+b.Version+".bundle")
	r.ReleaseKey = filepath.Join(r.Dir, "release.pub")
	err = errors.Join(os.WriteFile(r.ReleaseKey, pub, 0o644), link(filepath.Join(dir, "release.bundle"), r.Bundle),
		link(filepath.Join(dir, "manifest.json"), filepath.Join(r.Dir, "ashlar-"+b.Version+".manifest.json")),
		os.WriteFile(filepath.Join(r.Dir, "hostos.spdx.json"), r.Host.SBOM, 0o644), os.WriteFile(filepath.Join(r.Dir, "guestos.spdx.json"), r.Guest.SBOM, 0o644))
	if err != nil {
		return "", err
	}
	return b.bundleSizes(filepath.Join(dir, "manifest.json"))
}

func (r *Release) guestDisk() string { return filepath.Join(filepath.Dir(r.Guest.Root), "guest.img") }

func (b *Builder) manifest(r *Release) (bundle.Manifest, error) {
	m := bundle.Manifest{Version: b.Version, MinUpgradeFrom: b.UpgradeFrom, Floor: b.Floor,
		SBOM: map[string]bundle.Digest{"hostos.spdx.json": sha256.Sum256(r.Host.SBOM), "guestos.spdx.json": sha256.Sum256(r.Guest.SBOM)}}
	var err error
	if m.Source, err = SourceDigest(b.Root); err != nil {
		return m, err
	}
	m.Measurements, err = b.measure(r)
	return m, err
}

func (b *Builder) bundleKey(k *key, m bundle.Manifest, r *Release) error {
	self, err := builder()
	if err != nil {
		return err
	}
	j, err := json.Marshal(m)
	if err != nil {
		return err
	}
	k.add("builder", self)
	k.add("manifest", string(j))
	k.add("key", b.Keys.Release.X.String())
	return errors.Join(k.file(r.Host.ESP), k.file(r.Host.Root), k.file(r.guestDisk()))
}

// bundleSizes tells the figures that the project has set itself a limit for.
func (b *Builder) bundleSizes(manifest string) (string, error) {
	host, guest, err := Sizes(manifest)
	return fmt.Sprintf("host %s, guest %s compressed", progress.MB(host), progress.MB(guest)), err
}

// Sizes reads from a manifest file how large the host's and the guest's update are, compressed.
func Sizes(manifest string) (host, guest int64, err error) {
	j, err := os.ReadFile(manifest)
	if err != nil {
		return 0, 0, err
	}
	var m bundle.Manifest
	if err := json.Unmarshal(j, &m); err != nil {
		return 0, 0, fmt.Errorf("read %s: %w", manifest, err)
	}
	for _, p := range m.Payloads {
		if p.Name == "guest" {
			guest += p.CompressedSize
		} else {
			host += p.CompressedSize
		}
	}
	return host, guest, nil
}

// disk writes the disk image and the variable store beside it.
func (b *Builder) disk(r *Release) (string, error) {
	r.Disk = filepath.Join(r.Dir, "ashlar-"+b.Version+".img")
	r.Vars = filepath.Join(r.Dir, "OVMF_VARS.fd")
	if err := b.vars(r.Vars); err != nil {
		return "", err
	}
	record, err := slots.New(b.Version, b.Floor)
	if err != nil {
		return "", err
	}
	meta := &memory{}
	if err := slots.Format(meta, record); err != nil {
		return "", err
	}
	var config tree.Tree
	if err := config.File("node.conf", 0o644, []byte(NodeConf)); err != nil {
		return "", err
	}
	return filepath.Base(r.Disk), assemble.Host(r.Disk, assemble.Disk{Size: diskBytes, Host: r.Host.Slot, Guest: r.guestDisk(), Config: &config, Meta: meta.b})
}

func (b *Builder) vars(file string) error {
	dirs, err := b.Store.UnpackedAll(b.Pins.Set("vmm"))
	if err != nil {
		return err
	}
	for _, d := range dirs {
		flash, err := os.ReadFile(filepath.Join(d, varsTemplate))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return err
		}
		out, err := varstore.Enroll(flash, varstore.Keys{PK: b.Keys.PK.Cert, KEK: b.Keys.KEK.Cert, DB: b.Keys.DB.Cert})
		if err != nil {
			return err
		}
		return os.WriteFile(file, out, 0o644)
	}
	return fmt.Errorf("no package of set vmm holds %s", varsTemplate)
}

// memory is a device that slots can format.
type memory struct{ b []byte }

func (m *memory) ReadAt(p []byte, off int64) (int, error) {
	return bytes.NewReader(m.b).ReadAt(p, off)
}

func (m *memory) WriteAt(p []byte, off int64) (int, error) {
	if need := int(off) + len(p); need > len(m.b) {
		m.b = append(m.b, make([]byte, need-len(m.b))...)
	}
	return copy(m.b[off:], p), nil
}

func (m *memory) Sync() error { return nil }

// link gives a cached file its name in out: a hard link where possible, so that it costs no second copy.
func link(from, to string) error {
	if err := os.Remove(to); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if os.Link(from, to) == nil {
		return nil
	}
	src, err := os.Open(from)
	if err != nil {
		return err
	}
	defer src.Close()
	dst, err := os.Create(to)
	if err != nil {
		return err
	}
	_, err = io.Copy(dst, src)
	return errors.Join(err, dst.Close())
}

// notSource are folders and files that a build makes or that git does not keep.
var notSource = map[string]bool{".git": true, "out": true, ".cache": true, "keys": true, "node_modules": true}

// Sources lists the files of the source tree, sorted.
func Sources(root string) ([]string, error) {
	var files []string
	err := filepath.WalkDir(root, func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, _ := filepath.Rel(root, p)
		top, _, _ := strings.Cut(rel, "/")
		generated := (notSource[d.Name()] && (rel == top || d.Name() == "node_modules")) || strings.HasSuffix(rel, ".test") || strings.HasSuffix(rel, ".prof")
		switch {
		case generated && d.IsDir():
			return fs.SkipDir
		case generated || !d.Type().IsRegular():
			return nil
		}
		files = append(files, rel)
		return nil
	})
	sort.Strings(files)
	return files, err
}

// SourceDigest names the source tree: a hash over the names and hashes of its files.
func SourceDigest(root string) (d bundle.Digest, err error) {
	files, err := Sources(root)
	if err != nil {
		return d, err
	}
	h := sha256.New()
	for _, f := range files {
		sum, err := sumFile(filepath.Join(root, f))
		if err != nil {
			return d, err
		}
		fmt.Fprintf(h, "%s %q\n", sum, f)
	}
	return bundle.Digest(h.Sum(nil)), nil
}
