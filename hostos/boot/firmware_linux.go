package boot

import (
	"errors"
	"fmt"
	"os"

	"ashlar/hardware/efi"
	"ashlar/image/gpt"
	"ashlar/image/layout"
	"ashlar/image/slots"
)

// firmware chooses the ESP that boots, by the firmware's variables. A machine
// that was not booted by UEFI has none: then nothing can be tried once, and
// upgrades are refused.
type firmware struct{ disk string }

// enforced says whether the firmware starts signed programs only. Where it does not, the command line may come from anybody, too.
func enforced(dir string) error {
	vars, err := efi.Open(dir)
	if err != nil {
		return err
	}
	b, err := vars.Read("SecureBoot", efi.Global)
	if err != nil {
		return err
	}
	if len(b) != 1 || b[0] != 1 {
		return errors.New("it is switched off")
	}
	return nil
}

// BootOnce starts a slot at the next boot, and only then.
func (f firmware) BootOnce(s slots.Slot) error {
	vars, targets, err := f.open(s)
	if err != nil {
		return err
	}
	return vars.Once(targets[0])
}

// BootFirst starts a slot at each boot; the other stays behind it in the order,
// because some firmwares start nothing that is not in there.
func (f firmware) BootFirst(s slots.Slot) error {
	vars, targets, err := f.open(s, s.Other())
	if err != nil {
		return err
	}
	return vars.First(targets...)
}

func (f firmware) open(want ...slots.Slot) (*efi.Variables, []efi.Target, error) {
	vars, err := efi.Open(efi.Path)
	if err != nil {
		return nil, nil, err
	}
	d, err := os.Open(f.disk)
	if err != nil {
		return nil, nil, err
	}
	defer d.Close()
	size, err := d.Seek(0, 2)
	if err != nil {
		return nil, nil, err
	}
	table, err := gpt.Read(d, size)
	if err != nil {
		return nil, nil, err
	}
	var targets []efi.Target
	for _, s := range want {
		t, err := target(*table, s)
		if err != nil {
			return nil, nil, err
		}
		targets = append(targets, t)
	}
	return vars, targets, nil
}

// target is a slot's ESP as a boot entry names it. initramfs/stage makes the same one.
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
