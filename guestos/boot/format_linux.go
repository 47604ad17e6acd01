package boot

import (
	"crypto/rand"
	"fmt"
	"io"
	"os"
	"time"

	"ashlar/image/ext4"
)

// prepare makes sure that the disk holds a file system that the kernel can
// mount: a blank disk gets a new one, a disk with anything else is refused.
func prepare(disk string) (string, error) {
	f, err := os.OpenFile(disk, os.O_RDWR, 0)
	if err != nil {
		return "", err
	}
	defer f.Close()
	size, err := f.Seek(0, io.SeekEnd)
	if err != nil {
		return "", err
	}
	found, err := ext4.Probe(f, size)
	if err != nil {
		return "", err
	}
	switch {
	case found.Kind == ext4.Ext4:
		return fmt.Sprintf("%d MiB mounted", size>>20), nil
	case !found.MayFormat():
		return "", fmt.Errorf("the data partition holds %s, which is not ours: erase its first MiB if nobody needs it", found.What)
	}
	o := ext4.Options{Label: "ashlar-data", Time: uint32(time.Now().Unix())}
	rand.Read(o.UUID[:])
	if err := ext4.Format(f, size, o); err != nil {
		return "", err
	}
	return fmt.Sprintf("%d MiB formatted", size>>20), f.Sync()
}
