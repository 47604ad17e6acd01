package nic

import (
	"reflect"
	"strings"
	"testing"
	"testing/fstest"
)

func machine() fstest.MapFS {
	m := fstest.MapFS{}
	for name, files := range map[string]map[string]string{
		"eth1": {"type": "1\n", "carrier": "1\n", "device/vendor": "0x8086\n"},
		"eth0": {"type": "1\n", "carrier": "0\n", "device/vendor": "0x8086\n"},
		"br0":  {"type": "1\n", "carrier": "1\n"},
		"lo":   {"type": "772\n", "carrier": "1\n"},
		"ib0":  {"type": "32\n", "carrier": "1\n", "device/vendor": "x"},
	} {
		for f, text := range files {
			m["class/net/"+name+"/"+f] = &fstest.MapFile{Data: []byte(text)}
		}
	}
	return m
}

func TestChoose(t *testing.T) {
	sys := machine()
	if names, err := Wired(sys); err != nil || !reflect.DeepEqual(names, []string{"eth0", "eth1"}) {
		t.Errorf("wired %v %v", names, err)
	}
	for want, got := range map[string]string{"auto": "eth1", "eth0": "eth0"} {
		if n, err := Choose(sys, want); err != nil || n != got {
			t.Errorf("%s: %s %v", want, n, err)
		}
	}
	if _, err := Choose(sys, "eth7"); err == nil || !strings.Contains(err.Error(), "there is eth0, eth1") {
		t.Errorf("wrong name: %v", err)
	}
	delete(sys, "class/net/eth1/carrier")
	if _, err := Choose(sys, "auto"); err == nil || !strings.Contains(err.Error(), "plug a cable") {
		t.Errorf("no link: %v", err)
	}
	if _, err := Choose(fstest.MapFS{"class/net/lo/type": {Data: []byte("772")}}, "auto"); err == nil || !strings.Contains(err.Error(), "no network device") {
		t.Errorf("no device: %v", err)
	}
}
