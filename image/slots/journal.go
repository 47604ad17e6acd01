package slots

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"reflect"
)

// The meta partition starts with two copies of the record. A write goes to the copy that does not hold the newest valid one,
// and is synced, so that a power cut at any byte leaves the old record or the new one.
//
//	0     magic "ASHSLOTS"   8
//	8     CRC-32C of the other 4084 bytes, which are: the magic, then everything from 12 on
//	12    length of the JSON text   4
//	16    JSON text, then zeros
const (
	CopyBytes   = 4096 // one page of any disk
	copies      = 2
	magic       = "ASHSLOTS"
	headerBytes = 16
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// ErrNoRecord says that neither copy can be read. The installer may write a fresh one; nobody else should.
var ErrNoRecord = errors.New("no copy of the slot record can be read")

// A Device is the meta partition: an *os.File is one.
type Device interface {
	io.ReaderAt
	io.WriterAt
	Sync() error
}

// A Journal is the record on a device.
type Journal struct {
	dev    Device
	record Record
	newest int // the copy that holds record
}

// Format writes a record to both copies of a fresh disk.
func Format(dev Device, r Record) error {
	r.Sequence = 1
	raw, err := Encode(r)
	if err != nil {
		return err
	}
	for i := range copies {
		if err := put(dev, i, raw); err != nil {
			return err
		}
	}
	return nil
}

// Open reads the newest valid copy.
func Open(dev Device) (*Journal, error) {
	j := &Journal{dev: dev, newest: -1}
	var causes []error
	var unread error
	for i := range copies {
		raw := make([]byte, CopyBytes)
		if n, err := dev.ReadAt(raw, int64(i)*CopyBytes); n < CopyBytes { // a bad sector is one of the things that two copies are for
			unread = errors.Join(unread, fmt.Errorf("read slot record: copy %d of %d: %w", i+1, copies, err))
			continue
		}
		r, err := Decode(raw)
		if err != nil {
			causes = append(causes, fmt.Errorf("copy %d: %w", i+1, err))
			continue
		}
		if j.newest < 0 || r.Sequence > j.record.Sequence {
			j.record, j.newest = r, i
		}
	}
	if j.newest < 0 && unread != nil {
		return nil, unread
	}
	if j.newest < 0 {
		return nil, fmt.Errorf("%w (%w): boot the installer and choose to repair", ErrNoRecord, errors.Join(causes...))
	}
	return j, nil
}

// Record is the newest record.
func (j *Journal) Record() Record { return j.record }

// Apply writes the record that a transition makes of the newest one. A transition that changes nothing writes nothing.
func (j *Journal) Apply(transition func(Record) (Record, error)) error {
	next, err := transition(j.record)
	if err != nil {
		return err
	}
	if reflect.DeepEqual(next, j.record) {
		return nil
	}
	next.Sequence = j.record.Sequence + 1
	raw, err := Encode(next)
	if err != nil {
		return err
	}
	to := (j.newest + 1) % copies
	if err := put(j.dev, to, raw); err != nil {
		return err
	}
	j.record, j.newest = next, to
	return nil
}

// Booted applies Record.Booted and returns its verdict once the record is safe on the disk.
func (j *Journal) Booted(s Slot) (Verdict, error) {
	var v Verdict
	err := j.Apply(func(r Record) (Record, error) {
		r, v = r.Booted(s)
		return r, nil
	})
	return v, err
}

func put(dev Device, i int, raw []byte) error {
	if _, err := dev.WriteAt(raw, int64(i)*CopyBytes); err != nil {
		return fmt.Errorf("write slot record: %w", err)
	}
	if err := dev.Sync(); err != nil {
		return fmt.Errorf("write slot record: sync: %w", err)
	}
	return nil
}

// Encode is one copy.
func Encode(r Record) ([]byte, error) {
	if err := r.check(); err != nil {
		return nil, fmt.Errorf("write %w", err)
	}
	text, err := json.Marshal(r)
	if err != nil {
		return nil, fmt.Errorf("write slot record: %w", err)
	}
	if len(text) > CopyBytes-headerBytes {
		return nil, fmt.Errorf("write slot record: %d bytes of text, room for %d", len(text), CopyBytes-headerBytes)
	}
	raw := make([]byte, CopyBytes)
	copy(raw, magic)
	binary.LittleEndian.PutUint32(raw[12:], uint32(len(text)))
	copy(raw[headerBytes:], text)
	binary.LittleEndian.PutUint32(raw[8:], sum(raw))
	return raw, nil
}

// Decode reads one copy.
func Decode(raw []byte) (Record, error) {
	var r Record
	if len(raw) != CopyBytes || string(raw[:8]) != magic {
		return r, errors.New("it is not a slot record")
	}
	n := binary.LittleEndian.Uint32(raw[12:])
	if binary.LittleEndian.Uint32(raw[8:]) != sum(raw) || n > CopyBytes-headerBytes {
		return r, errors.New("its checksum is wrong: it was cut short or damaged")
	}
	d := json.NewDecoder(bytes.NewReader(raw[headerBytes : headerBytes+n]))
	d.DisallowUnknownFields() // a newer format must not lose its meaning here
	if err := d.Decode(&r); err != nil {
		return r, fmt.Errorf("read its text: %w", err)
	}
	return r, r.check()
}

func sum(raw []byte) uint32 {
	return crc32.Update(crc32.Checksum(raw[:8], castagnoli), castagnoli, raw[12:])
}
