package boot

import (
	"encoding/binary"
	"errors"
	"os"
)

// prepare makes sure that the disk holds a file system of ours.
func prepare(disk string) (string, error) {
	f, err := os.OpenFile(disk, os.O_RDWR, 0)
	if err != nil {
		return "", err
	}
	defer f.Close()
	var b [2]byte
	if _, err := f.ReadAt(b[:], 1080); err != nil {
		return "", err
	}
	if binary.LittleEndian.Uint16(b[:]) != 0xef53 {
		return "", errors.New("the data disk is not formatted")
	}
	return "mounted", nil
}
