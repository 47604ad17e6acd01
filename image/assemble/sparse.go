package assemble

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"

	"ashlar/image/gpt"
)

// copyBlock is the grain of holes: the block of the file systems that images are written on.
const copyBlock = 4096

// copySparse copies a file to the start of a partition and leaves out what is zero: the
// target is a new file, which reads as zeros already.
func copySparse(f *os.File, p gpt.Partition, from string) error {
	src, err := os.Open(from)
	if err != nil {
		return err
	}
	defer src.Close()
	st, err := src.Stat()
	if err != nil {
		return err
	}
	if st.Size() > p.Size {
		return fmt.Errorf("%s has %d MiB and partition %s has %d MiB", from, st.Size()>>20, p.Name, p.Size>>20)
	}
	buf := make([]byte, 1<<20)
	for at := int64(0); ; {
		n, err := io.ReadFull(src, buf)
		if err := writeNonZero(f, buf[:n], p.Start+at); err != nil {
			return err
		}
		at += int64(n)
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			return nil
		} else if err != nil {
			return fmt.Errorf("read %s: %w", from, err)
		}
	}
}

var zeros [copyBlock]byte

// writeNonZero writes the runs of blocks that hold something.
func writeNonZero(w io.WriterAt, b []byte, at int64) error {
	zero := func(b []byte) bool { return bytes.Equal(b, zeros[:len(b)]) }
	for len(b) > 0 {
		n := 0
		for n < len(b) && zero(b[n:min(n+copyBlock, len(b))]) {
			n = min(n+copyBlock, len(b))
		}
		b, at = b[n:], at+int64(n)
		n = 0
		for n < len(b) && !zero(b[n:min(n+copyBlock, len(b))]) {
			n = min(n+copyBlock, len(b))
		}
		if n > 0 {
			if _, err := w.WriteAt(b[:n], at); err != nil {
				return err
			}
		}
		b, at = b[n:], at+int64(n)
	}
	return nil
}
