package boot

import (
	"context"
	"fmt"
	"os"

	"ashlar/hostos/upgrade"
	"ashlar/image/keys"
	"ashlar/image/layout"
	"ashlar/image/slots"
)

const releaseKey = "/etc/ashlar/release.pub"

// slots opens the record, which the init has told of this boot, and makes the
// firmware agree with it.
func (h *Host) slots(context.Context) (string, error) {
	meta, err := h.partition(layout.Meta)
	if err != nil {
		return "", err
	}
	f, err := os.OpenFile(meta.Device, os.O_RDWR|os.O_SYNC, 0) // stays open: it is written until the end
	if err != nil {
		return "", fmt.Errorf("open slot record: %w", err)
	}
	j, err := slots.Open(f)
	if err != nil {
		return "", err
	}
	raw, err := os.ReadFile(releaseKey)
	if err != nil {
		return "", fmt.Errorf("the key that signs releases: %w", err)
	}
	pub, err := keys.ParsePublic(raw)
	if err != nil {
		return "", err
	}
	u := upgrade.New(j)
	u.Disk, u.Firmware, u.Release = upgrade.OnDisk(h.disk), firmware{h.disk}, pub
	u.Running, u.Slot, u.Say = h.line.Version, h.slot, func(format string, args ...any) { h.log.Say(format, args...) }
	h.mu.Lock()
	h.upgrade = u
	h.mu.Unlock()
	failed, err := u.Settle()
	if err != nil {
		h.note("the firmware's boot order cannot be set: " + err.Error()) // each ESP boots by itself, and the init redirects
	}
	if failed != "" {
		h.note(failed)
		h.log.Say("slots: %s", failed)
	}
	return u.Record().String(), nil
}
