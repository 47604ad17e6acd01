// Package assemble puts an image together from file trees, by the formats beside it.
//
//	root tree ──> EROFS + verity tree ──> root hash ──> command line ──> BuildUKI ──> ESP (FAT)
//	                     root.img                                           │       esp.img
//	                                                                        └─ measured and signed by the caller
//	host:  config meta | esp | root | guest.img | data      guest.img:  esp | root
//
// The same inputs give the same bytes. Files are written as they come, holes stay holes,
// and what fails to build is removed. Where files come from, and with which keys the UKI is
// signed, is the builder's (build/).
package assemble

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"ashlar/image/erofs"
	"ashlar/image/fat"
	"ashlar/image/gpt"
	"ashlar/image/layout"
	"ashlar/image/tree"
	"ashlar/image/verity"
)

// UKIPath is where firmware finds the UKI: the removable media path (UEFI 2.10, 3.5.1.1).
const UKIPath = "EFI/BOOT/BOOTX64.EFI"

// Input is what a slot is made of.
type Input struct {
	Role    string   // host or guest
	Version string   // of the release: 1.2.3
	Cmdline []string // words behind those that are made here
	Root    *tree.Tree

	// BuildUKI makes the signed UKI for this kernel command line.
	BuildUKI func(cmdline string) ([]byte, error)
}

// Slot is one release of one system: two partition images and what was learned on the way.
type Slot struct {
	Root     string // file: EROFS and verity tree
	ESP      string // file: FAT with the UKI
	Blocks   uint64 // data blocks of the root
	RootHash verity.Root
	Cmdline  string // inside of the UKI
	UKI      []byte
}

// BuildSlot writes dir/ROLE-root.img and dir/ROLE-esp.img.
func BuildSlot(dir string, in Input) (Slot, error) {
	if err := in.check(); err != nil {
		return Slot{}, err
	}
	s := Slot{Root: filepath.Join(dir, in.Role+"-root.img"), ESP: filepath.Join(dir, in.Role+"-esp.img")}
	size, err := contentSize(in.Root)
	if limit := layout.Size(layout.Root); err == nil && size <= limit {
		size, err = s.buildRoot(in.Root)
	}
	if err != nil {
		return Slot{}, fmt.Errorf("build %s root: %w", in.Role, err)
	}
	if limit := layout.Size(layout.Root); size > limit {
		return Slot{}, errors.Join(removed(s.Root), fmt.Errorf("the %s root has %d MiB and its partition has %d MiB: take something out of %sos.recipe", in.Role, size>>20, limit>>20, in.Role))
	}
	s.Cmdline = Cmdline(in.Role, in.Version, s.RootHash, s.Blocks, in.Cmdline)
	if s.UKI, err = in.BuildUKI(s.Cmdline); err != nil {
		return Slot{}, fmt.Errorf("build %s UKI: %w", in.Role, err)
	}
	if err := s.buildESP(); err != nil {
		return Slot{}, fmt.Errorf("build %s ESP: %w", in.Role, err)
	}
	return s, nil
}

func (in Input) check() error {
	if in.Role != "host" && in.Role != "guest" {
		return fmt.Errorf("role %q: want host or guest", in.Role)
	}
	for _, w := range append([]string{in.Version}, in.Cmdline...) {
		if w == "" || strings.ContainsAny(w, " \t\n\"\x00") {
			return fmt.Errorf("%q cannot be a word of a kernel command line", w)
		}
	}
	for _, w := range in.Cmdline {
		if strings.HasPrefix(w, "ashlar.") {
			return fmt.Errorf("%q: the words that begin with ashlar. are made here", w)
		}
	}
	return nil
}

// Cmdline is the kernel command line of a slot (docs/architecture.md, The joints).
func Cmdline(role, version string, root verity.Root, blocks uint64, more []string) string {
	words := append([]string{
		"ashlar.role=" + role,
		"ashlar.version=" + version,
		"ashlar.root=" + root.String(),
		fmt.Sprintf("ashlar.blocks=%d", blocks),
	}, more...)
	return strings.Join(words, " ")
}

// contentSize is the least that a root of these files takes: seen before anything is written.
func contentSize(t *tree.Tree) (total int64, err error) {
	list, err := t.Entries()
	for _, e := range list {
		n, sizeErr := e.Size()
		total, err = total+n, errors.Join(err, sizeErr)
	}
	return total, err
}

func removed(file string) error {
	if err := os.Remove(file); !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return nil
}

func (s *Slot) buildRoot(t *tree.Tree) (size int64, err error) {
	err = create(s.Root, func(f *os.File) error {
		data, err := erofs.Write(f, t)
		if err != nil {
			return err
		}
		s.Blocks = uint64(data / verity.BlockSize)
		size = verity.TotalBytes(s.Blocks)
		if err := f.Truncate(size); err != nil {
			return err
		}
		s.RootHash, _, err = verity.Append(f, data)
		return err
	})
	return size, err
}

func (s *Slot) buildESP() error {
	var t tree.Tree
	if err := t.File(UKIPath, 0o644, s.UKI); err != nil {
		return err
	}
	size, err := fat.SizeFor(&t)
	if err != nil {
		return err
	}
	if limit := layout.Size(layout.ESP); size > limit {
		return fmt.Errorf("a UKI of %d MiB needs %d MiB and the partition has %d MiB: take modules out of the initramfs", len(s.UKI)>>20, size>>20, limit>>20)
	}
	return create(s.ESP, func(f *os.File) error {
		return errors.Join(f.Truncate(size), fat.Write(f, &t, fat.Options{Size: size, Label: "ASHLAR ESP", Serial: serial(s.RootHash[:])}))
	})
}

// serial is a volume ID that differs between releases.
func serial(b []byte) uint32 {
	return uint32(b[0])<<24 | uint32(b[1])<<16 | uint32(b[2])<<8 | uint32(b[3])
}

// Guest writes the guest's disk image: the guest slot's two partitions in a table of their own.
func Guest(file string, s Slot) error {
	esp, err := os.Stat(s.ESP)
	if err != nil {
		return err
	}
	root, err := os.Stat(s.Root)
	if err != nil {
		return err
	}
	table, err := layout.GuestDisk(esp.Size(), root.Size(), s.RootHash[:])
	if err != nil {
		return err
	}
	return writeDisk(file, table, map[string]string{layout.ESP: s.ESP, layout.Root: s.Root}, nil)
}

// Disk is what a host disk image is made of. Slot A holds the release; slot B is empty.
type Disk struct {
	Size   int64      // bytes; at least layout.MinimumDisk
	Host   Slot       //
	Guest  string     // file made by Guest
	Config *tree.Tree // the files of the config partition; nil: an empty volume
	Meta   []byte     // the first bytes of the meta partition: slots.Format makes them
	Seed   []byte     // of the GUIDs; nil: the release's, so that images are reproducible
}

// Host writes a host's disk image, ready to boot. The data partition stays empty: guestd
// makes its file system.
func Host(file string, d Disk) error {
	if d.Seed == nil {
		d.Seed = d.Host.RootHash[:]
	}
	table, err := layout.Host(d.Size, gpt.SectorSize, d.Seed)
	if err != nil {
		return err
	}
	if int64(len(d.Meta)) > layout.Size(layout.Meta) {
		return fmt.Errorf("the slot record has %d bytes and its partition %d", len(d.Meta), layout.Size(layout.Meta))
	}
	parts := map[string]string{layout.ESP + "-a": d.Host.ESP, layout.Root + "-a": d.Host.Root, layout.Guest + "-a": d.Guest}
	return writeDisk(file, table, parts, func(f io.WriterAt, p map[string]gpt.Partition) error {
		if _, err := f.WriteAt(d.Meta, p[layout.Meta].Start); err != nil {
			return err
		}
		return writeConfig(io.NewOffsetWriter(f, p[layout.Config].Start), d.Config)
	})
}

// writeConfig writes the volume of the config partition.
func writeConfig(w io.WriterAt, t *tree.Tree) error {
	if t == nil {
		t = &tree.Tree{}
	}
	return fat.Write(w, t, fat.Options{Size: layout.Size(layout.Config), Label: "ASHLAR CFG"})
}

// Config writes the volume of the config partition to a file of its own.
func Config(file string, t *tree.Tree) error {
	return create(file, func(f *os.File) error {
		return errors.Join(f.Truncate(layout.Size(layout.Config)), writeConfig(f, t))
	})
}

// writeDisk writes a table, files into their partitions, and what more does.
func writeDisk(file string, table gpt.Table, parts map[string]string, more func(io.WriterAt, map[string]gpt.Partition) error) error {
	byName, err := layout.ByName(table)
	if err != nil {
		return err
	}
	return create(file, func(f *os.File) error {
		if err := f.Truncate(table.DiskSize); err != nil {
			return err
		}
		for _, p := range table.Partitions {
			if from, ok := parts[p.Name]; ok {
				if err := copySparse(f, p, from); err != nil {
					return err
				}
			}
		}
		if more != nil {
			if err := more(f, byName); err != nil {
				return err
			}
		}
		return table.Write(f)
	})
}

// create makes a file anew and removes it again when write fails: no half image is left to
// be taken for a whole one.
func create(file string, write func(*os.File) error) error {
	part := file + ".part"
	f, err := os.OpenFile(part, os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o644)
	if err != nil {
		return err
	}
	err = errors.Join(write(f), f.Close())
	if err == nil {
		err = os.Rename(part, file)
	}
	if err != nil {
		os.Remove(part)
		return fmt.Errorf("write %s: %w", file, err)
	}
	return nil
}
