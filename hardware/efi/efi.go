// Package efi reads and writes the firmware's variables, through Linux' efivarfs, and chooses what the machine boots.
//
//	BootOrder: 0003, 0004, 0001          what the firmware tries, in turn
//	Boot0003:  "Ashlar a"  HD(3,GPT,<ESP a>)/\EFI\BOOT\BOOTX64.EFI
//	Boot0004:  "Ashlar b"  HD(4,GPT,<ESP b>)/\EFI\BOOT\BOOTX64.EFI
//	BootNext:  0004                      what it tries first, once
//
// Firmwares lose variables, and add entries of their own: First and Once repair what they need before they use it, and write
// only what differs, since the store is flash. Specs: UEFI 2.10 sections 3.1.3 (load options), 3.3, 8.2 and 10.3 (device
// paths); Documentation/filesystems/efivarfs.rst. Which slot to boot is left to image/slots.
package efi

import (
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

const (
	Path = "/sys/firmware/efi/efivars" // where efivarfs is mounted

	maxVariableBytes = 64 << 10 // PK, KEK, db and dbx are the largest
	attributeBytes   = 4        // in front of the data in each file of efivarfs

	// Attributes of what we write: non-volatile, seen by boot services and at run time.
	bootAttributes = 0x7

	immutable = 0x10 // FS_IMMUTABLE_FL of linux/fs.h
)

// The errors that a caller acts on.
var (
	ErrNoEFI    = errors.New("this machine was not booted by UEFI")
	ErrNotFound = errors.New("there is no such firmware variable")
)

// A GUID in the byte order of UEFI.
type GUID [16]byte

// Global is the vendor of the variables that UEFI defines.
var Global = MustGUID("8be4df61-93ca-11d2-aa0d-00e098032b8c")

// ParseGUID reads the printed form.
func ParseGUID(s string) (GUID, error) {
	b, err := hex.DecodeString(strings.ReplaceAll(s, "-", ""))
	if err != nil || len(b) != 16 || len(s) != 36 {
		return GUID{}, fmt.Errorf("%.80q is not a GUID", s)
	}
	return GUID(swap(b)), nil
}

// MustGUID is ParseGUID for constants.
func MustGUID(s string) GUID {
	g, err := ParseGUID(s)
	if err != nil {
		panic(err)
	}
	return g
}

func (g GUID) String() string {
	b := swap(g[:])
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}

// swap turns the three little-endian fields round.
func swap(b []byte) []byte {
	return []byte{b[3], b[2], b[1], b[0], b[5], b[4], b[7], b[6], b[8], b[9], b[10], b[11], b[12], b[13], b[14], b[15]}
}

// Variables are a mounted efivarfs.
type Variables struct{ dir string }

// Open looks for efivarfs at dir: Path on a machine, any directory in a test.
func Open(dir string) (*Variables, error) {
	names, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) || err == nil && len(names) == 0 {
		return nil, fmt.Errorf("open %s: %w: boot by UEFI, and mount efivarfs there", dir, ErrNoEFI)
	}
	if err != nil {
		return nil, fmt.Errorf("open firmware variables: %w", err)
	}
	return &Variables{dir}, nil
}

func (v *Variables) path(name string, vendor GUID) string {
	return filepath.Join(v.dir, name+"-"+vendor.String())
}

// Read returns a variable's data.
func (v *Variables) Read(name string, vendor GUID) ([]byte, error) {
	f, err := os.Open(v.path(name, vendor))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("read %s: %w", name, ErrNotFound)
	}
	if err != nil {
		return nil, fmt.Errorf("read firmware variable: %w", err)
	}
	defer f.Close()
	raw, err := io.ReadAll(io.LimitReader(f, maxVariableBytes+1))
	switch {
	case err != nil:
		return nil, fmt.Errorf("read firmware variable: %w", err)
	case len(raw) > maxVariableBytes:
		return nil, fmt.Errorf("read firmware variable %s: more than %d bytes", name, maxVariableBytes)
	case len(raw) < attributeBytes: // a variable that was deleted while it was open reads as nothing
		return nil, fmt.Errorf("read %s: %w", name, ErrNotFound)
	}
	return raw[attributeBytes:], nil
}

// Write sets a variable of UEFI's own. One write call is one SetVariable: the firmware takes all of it or nothing.
func (v *Variables) Write(name string, data []byte) error {
	if old, err := v.Read(name, Global); err == nil && string(old) == string(data) {
		return nil
	}
	path := v.path(name, Global)
	if err := writable(path); err != nil {
		return fmt.Errorf("write firmware variable %s: %w", name, err)
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE, 0o644)
	if err != nil {
		return fmt.Errorf("write firmware variable: %w: mount efivarfs for writing", err)
	}
	raw := append(binary.LittleEndian.AppendUint32(nil, bootAttributes), data...)
	_, err = f.Write(raw)
	if info, statErr := f.Stat(); err == nil && statErr == nil && info.Size() > int64(len(raw)) {
		err = f.Truncate(int64(len(raw))) // efivarfs does it by itself; a directory in a test does not
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return fmt.Errorf("write firmware variable: %w: if its store is full, clear it in the firmware's setup", err)
	}
	return nil
}

// Delete removes a variable of UEFI's own. That it is not there is no error.
func (v *Variables) Delete(name string) error {
	path := v.path(name, Global)
	if err := writable(path); err != nil {
		return fmt.Errorf("delete firmware variable %s: %w", name, err)
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("delete firmware variable: %w", err)
	}
	return nil
}

// writable clears the flag by which Linux keeps an "rm -r" from bricking a machine.
func writable(path string) error {
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer f.Close()
	flags, err := unix.IoctlGetInt(int(f.Fd()), unix.FS_IOC_GETFLAGS)
	if err != nil || flags&immutable == 0 { // a file system without flags has none to clear
		return nil
	}
	return unix.IoctlSetPointerInt(int(f.Fd()), unix.FS_IOC_SETFLAGS, flags&^immutable)
}
