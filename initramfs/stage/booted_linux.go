package stage

import (
	"os"
	"strings"
	"unicode/utf16"

	"ashlar/hardware/block"
	"ashlar/image/gpt"
	"ashlar/image/layout"
	"ashlar/image/slots"
)

// loaderVar is where the EFI stub leaves the GUID of the partition that it was
// loaded from (boot loader interface, systemd.io).
const loaderVar = "/sys/firmware/efi/efivars/LoaderDevicePartUUID-4a67b082-0a4c-41cf-b6c7-440b29bb8c4f"

// bootedSlot asks the firmware which ESP our UKI came from: a or b, or nothing
// where it does not say (direct kernel boot).
func bootedSlot() slots.Slot {
	raw, err := os.ReadFile(loaderVar)
	if err != nil || len(raw) < 4 {
		return ""
	}
	disks, err := block.Disks(block.Sys())
	if err != nil {
		return ""
	}
	for _, d := range disks {
		if slot := espOn(d, utf16Text(raw[4:])); slot != "" { // 4 bytes of attributes come first
			return slot
		}
	}
	return ""
}

// espOn gives the slot of the ESP with this GUID, if it is on that disk.
func espOn(disk, guid string) slots.Slot {
	f, err := os.Open(disk)
	if err != nil {
		return ""
	}
	defer f.Close()
	size, err := f.Seek(0, 2)
	if err != nil {
		return ""
	}
	table, err := gpt.Read(f, size)
	if err != nil {
		return ""
	}
	return slotOf(table.Partitions, guid)
}

func slotOf(parts []gpt.Partition, guid string) slots.Slot {
	for _, p := range parts {
		if letter, ok := strings.CutPrefix(p.Name, layout.ESP+"-"); ok && strings.EqualFold(p.ID.String(), guid) {
			return slots.Slot(letter)
		}
	}
	return ""
}

func utf16Text(b []byte) string {
	var u []uint16
	for i := 0; i+1 < len(b) && len(u) < 64; i += 2 {
		u = append(u, uint16(b[i])|uint16(b[i+1])<<8)
	}
	return strings.TrimRight(string(utf16.Decode(u)), "\x00")
}
