// Package block lists the partitions of this machine by name and waits for them.
//
//	/sys/class/block/*/uevent ──> List ──> []Partition
//	kernel uevents (netlink)  ──> Wait: list again after each, until a deadline
//
// The kernel has already read the partition tables; names are those of the GPT.
// What a partition holds is not looked at: see image/* for each format.
package block

import (
	"bufio"
	"bytes"
	"fmt"
	"io/fs"
	"os"
	"path"
	"sort"
	"strconv"
	"strings"
)

const (
	sectorBytes  = 512 // the unit of /sys/class/block/*/size, whatever the disk's own
	maxBlockDevs = 4096
)

// A Partition is one GPT partition.
type Partition struct {
	Name      string // in the GPT, as root-a
	Device    string // as /dev/vda5
	Disk      string // the whole disk, as /dev/vda
	Number    int
	SizeBytes int64
}

// Sys is the kernel's view of the machine, for List.
func Sys() fs.FS { return os.DirFS("/sys") }

// List returns all partitions that have a name, sorted by device. sys is the
// root of sysfs; tests give a recorded one.
func List(sys fs.FS) ([]Partition, error) {
	entries, err := fs.ReadDir(sys, "class/block")
	if err != nil {
		return nil, fmt.Errorf("list block devices: %w", err)
	}
	var parts []Partition
	for i, e := range entries {
		if i == maxBlockDevs {
			break
		}
		p, ok := one(sys, e.Name())
		if ok {
			parts = append(parts, p)
		}
	}
	sort.Slice(parts, func(i, j int) bool { return parts[i].Device < parts[j].Device })
	return parts, nil
}

// Disks returns the whole disks, sorted, without loop, ram and mapped devices.
func Disks(sys fs.FS) ([]string, error) {
	entries, err := fs.ReadDir(sys, "class/block")
	if err != nil {
		return nil, fmt.Errorf("list block devices: %w", err)
	}
	var disks []string
	for _, e := range entries {
		u := uevent(sys, e.Name())
		virtual := false
		for _, p := range []string{"loop", "ram", "dm-", "zram", "sr", "fd"} {
			virtual = virtual || strings.HasPrefix(e.Name(), p)
		}
		if u["DEVTYPE"] == "disk" && !virtual {
			disks = append(disks, "/dev/"+u["DEVNAME"])
		}
	}
	sort.Strings(disks)
	return disks, nil
}

// Named picks the partition called name. Two disks may carry the same name (an
// old disk left in the machine): that is an error, not a choice to guess at.
func Named(parts []Partition, name string) (Partition, error) {
	var found []Partition
	for _, p := range parts {
		if p.Name == name {
			found = append(found, p)
		}
	}
	switch len(found) {
	case 1:
		return found[0], nil
	case 0:
		return Partition{}, fmt.Errorf("no partition is called %q: write the image to the disk again", name)
	}
	return Partition{}, fmt.Errorf("%s and %s are both called %q: remove the disk that is not this node's", found[0].Device, found[1].Device, name)
}

// OnDisk keeps the partitions of one disk.
func OnDisk(parts []Partition, disk string) []Partition {
	var out []Partition
	for _, p := range parts {
		if p.Disk == disk {
			out = append(out, p)
		}
	}
	return out
}

func one(sys fs.FS, name string) (Partition, bool) {
	u := uevent(sys, name)
	n, err := strconv.Atoi(u["PARTN"])
	if u["DEVTYPE"] != "partition" || u["PARTNAME"] == "" || err != nil {
		return Partition{}, false
	}
	size, err := fs.ReadFile(sys, path.Join("class/block", name, "size"))
	if err != nil {
		return Partition{}, false // unplugged between the two reads
	}
	sectors, err := strconv.ParseInt(strings.TrimSpace(string(size)), 10, 64)
	if err != nil {
		return Partition{}, false
	}
	return Partition{
		Name: u["PARTNAME"], Number: n, SizeBytes: sectors * sectorBytes,
		Device: "/dev/" + u["DEVNAME"], Disk: "/dev/" + diskOf(u["DEVNAME"], n),
	}, true
}

// diskOf undoes the kernel's naming: vda5 -> vda, nvme0n1p5 -> nvme0n1.
func diskOf(dev string, n int) string {
	d := strings.TrimSuffix(dev, strconv.Itoa(n))
	if t := strings.TrimSuffix(d, "p"); t != d && t != "" && t[len(t)-1] >= '0' && t[len(t)-1] <= '9' {
		return t
	}
	return d
}

func uevent(sys fs.FS, name string) map[string]string {
	out := map[string]string{}
	b, err := fs.ReadFile(sys, path.Join("class/block", name, "uevent"))
	if err != nil {
		return out
	}
	for s := bufio.NewScanner(bytes.NewReader(b)); s.Scan(); {
		if k, v, ok := strings.Cut(s.Text(), "="); ok {
			out[k] = v
		}
	}
	return out
}
