package stage

import (
	"fmt"
	"os"

	"ashlar/hardware/efi"
	"ashlar/image/gpt"
	"ashlar/image/layout"
	"ashlar/image/slots"
)

// bootInto makes the firmware start a slot's ESP: first in its order, and next,
// because some firmwares heed only one of the two.
func bootInto(disk string, s slots.Slot) error {
	vars, err := efi.Open(efi.Path)
	if err != nil {
		return err
	}
	f, err := os.Open(disk)
	if err != nil {
		return err
	}
	defer f.Close()
	size, err := f.Seek(0, 2)
	if err != nil {
		return err
	}
	table, err := gpt.Read(f, size)
	if err != nil {
		return err
	}
	to, err := target(*table, s)
	if err != nil {
		return err
	}
	if err := vars.First(to); err != nil {
		return err
	}
	return vars.Once(to)
}

// target is a slot's ESP as a boot entry names it. hostos/boot makes the same one.
func target(table gpt.Table, s slots.Slot) (efi.Target, error) {
	parts, err := layout.ByName(table)
	if err != nil {
		return efi.Target{}, err
	}
	p, ok := parts[layout.ESP+"-"+string(s)]
	if !ok {
		return efi.Target{}, fmt.Errorf("the disk has no partition %s-%s", layout.ESP, s)
	}
	id, err := efi.ParseGUID(p.ID.String())
	if err != nil {
		return efi.Target{}, err
	}
	number := 0
	for i, q := range table.Partitions { // our tables have no holes: see image/layout
		if q.Name == p.Name {
			number = i + 1
		}
	}
	sector := int64(table.SectorSize)
	return efi.Target{Description: "Ashlar " + string(s), Partition: efi.Partition{
		Number: uint32(number), First: uint64(p.Start / sector), Sectors: uint64(p.Size / sector), ID: id,
	}}, nil
}
