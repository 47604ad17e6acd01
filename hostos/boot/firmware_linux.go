package boot

import (
	"errors"

	"ashlar/image/slots"
)

// firmware chooses the ESP that boots, by its variables.
type firmware struct{ h *Host }

func (firmware) BootOnce(slots.Slot) error  { return errors.New("not wired") }
func (firmware) BootFirst(slots.Slot) error { return errors.New("not wired") }
