package block

import (
	"fmt"
	"reflect"
	"strings"
	"testing"
	"testing/fstest"
)

func machine(devs map[string]string) fstest.MapFS {
	m := fstest.MapFS{}
	for name, uevent := range devs {
		m["class/block/"+name+"/uevent"] = &fstest.MapFile{Data: []byte(uevent)}
		m["class/block/"+name+"/size"] = &fstest.MapFile{Data: []byte("2048\n")}
	}
	return m
}

func part(dev, name string, n int) string {
	return fmt.Sprintf("MAJOR=252\nMINOR=1\nDEVNAME=%s\nDEVTYPE=partition\nPARTN=%d\nPARTNAME=%s\n", dev, n, name)
}

func TestList(t *testing.T) {
	sys := machine(map[string]string{
		"vda":       "DEVNAME=vda\nDEVTYPE=disk\n",
		"vda5":      part("vda5", "root-a", 5),
		"nvme0n1p2": part("nvme0n1p2", "meta", 2),
		"sdb1":      "DEVNAME=sdb1\nDEVTYPE=partition\nPARTN=1\n", // an MBR has no names
		"loop0":     "DEVNAME=loop0\nDEVTYPE=disk\n",
		"dm-0":      "DEVNAME=dm-0\nDEVTYPE=disk\n",
	})
	parts, err := List(sys)
	if err != nil {
		t.Fatal(err)
	}
	want := []Partition{
		{Name: "meta", Device: "/dev/nvme0n1p2", Disk: "/dev/nvme0n1", Number: 2, SizeBytes: 1 << 20},
		{Name: "root-a", Device: "/dev/vda5", Disk: "/dev/vda", Number: 5, SizeBytes: 1 << 20},
	}
	if !reflect.DeepEqual(parts, want) {
		t.Errorf("got %+v", parts)
	}
	if disks, _ := Disks(sys); !reflect.DeepEqual(disks, []string{"/dev/vda"}) {
		t.Errorf("disks %v", disks)
	}
}

func TestNamed(t *testing.T) {
	parts := []Partition{{Name: "data", Device: "/dev/vda9", Disk: "/dev/vda"}, {Name: "meta", Device: "/dev/vda2", Disk: "/dev/vda"}, {Name: "meta", Device: "/dev/sdb2", Disk: "/dev/sdb"}}
	if p, err := Named(parts, "data"); err != nil || p.Device != "/dev/vda9" {
		t.Errorf("%+v %v", p, err)
	}
	if _, err := Named(parts, "root-a"); err == nil || !strings.Contains(err.Error(), "no partition") {
		t.Errorf("missing: %v", err)
	}
	if _, err := Named(parts, "meta"); err == nil || !strings.Contains(err.Error(), "/dev/vda2 and /dev/sdb2") {
		t.Errorf("twice: %v", err)
	}
	if p, err := Named(OnDisk(parts, "/dev/sdb"), "meta"); err != nil || p.Device != "/dev/sdb2" {
		t.Errorf("on one disk: %+v %v", p, err)
	}
}

func TestDiskOf(t *testing.T) {
	for dev, want := range map[string]string{"vda5": "vda", "vda15": "vda", "nvme0n1p5": "nvme0n1", "mmcblk0p1": "mmcblk0", "sdp1": "sdp"} {
		n := 5
		switch {
		case strings.HasSuffix(dev, "15"):
			n = 15
		case strings.HasSuffix(dev, "p1"):
			n = 1
		}
		if got := diskOf(dev, n); got != want {
			t.Errorf("%s: %s, want %s", dev, got, want)
		}
	}
}
