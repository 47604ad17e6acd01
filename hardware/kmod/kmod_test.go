package kmod

import (
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"testing/fstest"
)

const deps = `kernel/net/bridge.ko: kernel/net/stp.ko kernel/net/llc.ko
kernel/net/stp.ko: kernel/net/llc.ko
kernel/net/llc.ko:
kernel/drivers/virtio_net.ko: kernel/drivers/net-failover.ko
kernel/drivers/net-failover.ko:
kernel/drivers/igb.ko.xz:
kernel/drivers/broken.ko:
`

const aliases = `# Aliases
alias virtio:d00000001v* virtio_net
alias pci:v00008086d00001533sv*sd*bc*sc*i* igb
alias pci:v00001234d*sv*sd*bc*sc*i* broken
`

func tree(t *testing.T) (*Tree, *[]string) {
	dir := filepath.Join(t.TempDir(), "6.12")
	os.Mkdir(dir, 0o755)
	os.WriteFile(filepath.Join(dir, "modules.dep"), []byte(deps), 0o644)
	os.WriteFile(filepath.Join(dir, "modules.alias"), []byte(aliases), 0o644)
	tr, err := Open(filepath.Dir(dir))
	if err != nil {
		t.Fatal(err)
	}
	var order []string
	tr.insert = func(file string) error {
		if strings.Contains(file, "broken") {
			return errors.New("broken: invalid module format")
		}
		order = append(order, filepath.Base(file))
		return nil
	}
	return tr, &order
}

func TestLoadTakesWhatItNeedsFirstAndOnce(t *testing.T) {
	tr, order := tree(t)
	for range 2 {
		if err := tr.Load("bridge"); err != nil {
			t.Fatal(err)
		}
	}
	if want := []string{"llc.ko", "stp.ko", "bridge.ko"}; !reflect.DeepEqual(*order, want) {
		t.Errorf("order %v, want %v", *order, want)
	}
	if err := tr.Load("no-such-module"); !Missing(err) {
		t.Errorf("missing: %v", err)
	}
}

func TestColdplugLoadsOnlyWhatIsThere(t *testing.T) {
	tr, order := tree(t)
	sys := fstest.MapFS{
		"bus/virtio/devices/virtio0/modalias":   {Data: []byte("virtio:d00000001v00001AF4\n")},
		"bus/pci/devices/0000:00:01.0/modalias": {Data: []byte("pci:v00001234d00001111sv00001AF4sd00001100bc03sc00i00\n")},
		"bus/pci/devices/0000:00:02.0/modalias": {Data: []byte("pci:v0000FFFFd00001111sv00001AF4sd00001100bc03sc00i00\n")},
	}
	loaded, err := tr.Coldplug(sys)
	if !reflect.DeepEqual(loaded, []string{"virtio_net"}) || !reflect.DeepEqual(*order, []string{"net-failover.ko", "virtio_net.ko"}) {
		t.Errorf("loaded %v, order %v", loaded, *order)
	}
	if err == nil || !strings.Contains(err.Error(), "broken") {
		t.Errorf("the broken driver is not told: %v", err)
	}
}

func TestOpenRefuses(t *testing.T) {
	if _, err := Open(t.TempDir()); err == nil {
		t.Error("an empty folder opened")
	}
}

func TestLoadListWithoutListIsNothing(t *testing.T) {
	if n, err := LoadList(t.TempDir()); n != 0 || err != nil {
		t.Errorf("%d %v", n, err)
	}
	dir := t.TempDir()
	os.WriteFile(filepath.Join(dir, "list"), []byte("# c\nnone.ko\n"), 0o644)
	if _, err := LoadList(dir); err == nil || !strings.Contains(err.Error(), "none.ko") {
		t.Errorf("a missing file: %v", err)
	}
}
