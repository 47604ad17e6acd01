package efi

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
)

const maxEntries = 128 // OVMF makes three, a server's firmware some tens

// A Target is something to boot: one of our ESPs, by the removable path.
type Target struct {
	Description string // names the entry, and is how a stale one of ours is found again: "Ashlar a"
	Partition   Partition
}

func (t Target) entry() Entry {
	p := t.Partition
	return Entry{Description: t.Description, Active: true, Partition: &p, File: RemovablePath, Plain: true}
}

// Entries reads all boot entries. One that does not parse is left out: firmware vendors have ideas of their own.
func (v *Variables) Entries() (map[uint16]Entry, error) {
	names, err := os.ReadDir(v.dir)
	if err != nil {
		return nil, fmt.Errorf("list firmware variables: %w", err)
	}
	out := map[uint16]Entry{}
	for _, n := range names {
		number, ok := bootNumber(n.Name())
		if !ok || len(out) == maxEntries {
			continue
		}
		raw, err := v.Read(bootName(number), Global)
		if errors.Is(err, ErrNotFound) {
			continue
		}
		if err != nil {
			return nil, err
		}
		if e, err := DecodeEntry(raw); err == nil {
			out[number] = e
		}
	}
	return out, nil
}

// bootNumber reads 3 from Boot0003-<vendor>, and nothing from BootOrder.
func bootNumber(file string) (uint16, bool) {
	digits, vendor, _ := strings.Cut(strings.TrimPrefix(file, "Boot"), "-")
	n, err := strconv.ParseUint(digits, 16, 16)
	return uint16(n), err == nil && len(digits) == 4 && strings.HasPrefix(file, "Boot") && strings.EqualFold(vendor, Global.String())
}

func bootName(n uint16) string { return fmt.Sprintf("Boot%04X", n) }

// Order is BootOrder; a firmware without one has an empty one.
func (v *Variables) Order() ([]uint16, error) { return v.numbers("BootOrder") }

// Next is BootNext, if it is set.
func (v *Variables) Next() (uint16, bool, error) { return v.number("BootNext") }

// Current is the entry that this boot came from, if the firmware says so.
func (v *Variables) Current() (uint16, bool, error) { return v.number("BootCurrent") }

func (v *Variables) number(name string) (uint16, bool, error) {
	n, err := v.numbers(name)
	if err == nil && len(n) > 1 {
		err = fmt.Errorf("read %s: it holds %d numbers", name, len(n))
	}
	if err != nil || len(n) == 0 {
		return 0, false, err
	}
	return n[0], true, nil
}

func (v *Variables) numbers(name string) ([]uint16, error) {
	raw, err := v.Read(name, Global)
	if errors.Is(err, ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	if len(raw)%2 != 0 {
		return nil, fmt.Errorf("read %s: %d bytes are no list of 16-bit numbers", name, len(raw))
	}
	var out []uint16
	for ; len(raw) > 0; raw = raw[2:] {
		out = append(out, binary.LittleEndian.Uint16(raw))
	}
	return out, nil
}

func encode(numbers []uint16) []byte {
	var out []byte
	for _, n := range numbers {
		out = binary.LittleEndian.AppendUint16(out, n)
	}
	return out
}

// Ensure finds the target's entry, mends it, or makes one, and returns its number.
func (v *Variables) Ensure(t Target) (uint16, error) {
	entries, err := v.Entries()
	if err != nil {
		return 0, err
	}
	want := t.entry().Encode()
	numbers := sortedNumbers(entries)
	for _, n := range numbers {
		if e := entries[n]; e.Description == t.Description && e.Plain && string(e.Encode()) == string(want) {
			return n, nil
		}
	}
	for _, n := range numbers { // of another disk, or moved: the name is ours, so the entry is
		if entries[n].Description == t.Description {
			return n, v.Write(bootName(n), want)
		}
	}
	n, err := v.free()
	if err != nil {
		return 0, err
	}
	return n, v.Write(bootName(n), want)
}

func sortedNumbers(m map[uint16]Entry) []uint16 {
	var out []uint16
	for n := range m {
		out = append(out, n)
	}
	slices.Sort(out)
	return out
}

// free is the lowest number without a variable, also one that does not parse.
func (v *Variables) free() (uint16, error) {
	for n := range uint16(maxEntries) {
		if _, err := v.Read(bootName(n), Global); errors.Is(err, ErrNotFound) {
			return n, nil
		}
	}
	return 0, fmt.Errorf("make a boot entry: the firmware has %d already: delete some in its setup", maxEntries)
}

// Once makes the next boot, and only that, the target. It has to be in BootOrder for some firmwares: give it to First before.
func (v *Variables) Once(t Target) error {
	n, err := v.Ensure(t)
	if err != nil {
		return fmt.Errorf("boot %s once: %w", t.Description, err)
	}
	if err := v.Write("BootNext", encode([]uint16{n})); err != nil {
		return fmt.Errorf("boot %s once: %w", t.Description, err)
	}
	return nil
}

// First puts the targets, in this order, in front of whatever else the firmware boots, and takes back a BootNext that was not used.
func (v *Variables) First(targets ...Target) error {
	var order []uint16
	for _, t := range targets {
		n, err := v.Ensure(t)
		if err != nil {
			return fmt.Errorf("boot %s first: %w", t.Description, err)
		}
		order = append(order, n)
	}
	old, err := v.Order()
	if err != nil {
		return fmt.Errorf("read the boot order: %w", err)
	}
	for _, n := range old {
		if !slices.Contains(order, n) {
			order = append(order, n)
		}
	}
	if err := v.Write("BootOrder", encode(order)); err != nil {
		return fmt.Errorf("set the boot order: %w", err)
	}
	if _, set, err := v.Next(); err != nil || set {
		return errors.Join(err, v.Delete("BootNext"))
	}
	return nil
}
