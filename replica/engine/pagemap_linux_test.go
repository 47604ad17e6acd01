package engine

import (
	"os"
	"path/filepath"
	"reflect"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"

	"ashlar/replica/state/pages"
)

// Of anonymous memory over which a part of a file is mapped, the pages are named that
// were written: not those that were only read from the file, nor those never touched.
func TestPagemap(t *testing.T) {
	made, err := probePagemap()
	if err != nil {
		t.Skip(err)
	}
	name := filepath.Join(t.TempDir(), "pages")
	if err := os.WriteFile(name, make([]byte, 8*pages.Size), 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	space, err := reserve(3 * pagemapBatch * pages.Size)
	if err != nil {
		t.Fatal(err)
	}
	defer unmap(space)
	const at = pagemapBatch - 4 // over the end of a batch
	part := space[at*pages.Size : (at+8)*pages.Size]
	if _, err := unix.MmapPtr(int(f.Fd()), 0, unsafe.Pointer(unsafe.SliceData(part)), uintptr(len(part)), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_FIXED); err != nil {
		t.Fatal(err)
	}
	sum := byte(0)
	for i := range 8 {
		sum += part[i*pages.Size] // read
	}
	want := []uint64{0, at + 1, at + 6, 2*pagemapBatch + 5}
	for _, i := range want {
		space[i*pages.Size] = 1 + sum
	}
	var got []uint64
	made().written(space, func(i uint64) { got = append(got, i) })
	if !reflect.DeepEqual(got, want) {
		t.Errorf("pages %v are named, want %v", got, want)
	}
	got = nil
	made().written(space[:at*pages.Size], func(i uint64) { got = append(got, i) })
	if !reflect.DeepEqual(got, want[:1]) {
		t.Errorf("of the first pages %v are named", got)
	}
}
