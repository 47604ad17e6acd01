package slots

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"reflect"
	"testing"
)

// A disk in memory. Once cut is set, the next write keeps only what cut says and the power is off.
type disk struct {
	data []byte
	cut  func(old, new []byte) []byte
	off  bool
}

var errPower = errors.New("no power")

func (d *disk) ReadAt(p []byte, off int64) (int, error) {
	return bytes.NewReader(d.data).ReadAt(p, off)
}

func (d *disk) WriteAt(p []byte, off int64) (int, error) {
	if d.off {
		return 0, errPower
	}
	at := d.data[off : off+int64(len(p))]
	if d.cut != nil {
		copy(at, d.cut(bytes.Clone(at), p))
		d.off = true
		return 0, errPower
	}
	return copy(at, p), nil
}

func (d *disk) Sync() error {
	if d.off {
		return errPower
	}
	return nil
}

func formatted(t testing.TB) *disk {
	d := &disk{data: make([]byte, copies*CopyBytes)}
	if err := Format(d, fresh(t)); err != nil {
		t.Fatal(err)
	}
	return d
}

func open(t testing.TB, d *disk) *Journal {
	t.Helper()
	j, err := Open(d)
	if err != nil {
		t.Fatal(err)
	}
	return j
}

var upgrade = []func(Record) (Record, error){
	func(r Record) (Record, error) { return r.Prepare(B, "1.1.0", "1.0.0") },
	func(r Record) (Record, error) { return r.Staged(B) },
	func(r Record) (Record, error) { return r.Arm(B) },
	func(r Record) (Record, error) { r, _ = r.Booted(B); return r, nil },
	func(r Record) (Record, error) { return r.Confirm(B) },
}

func TestJournalKeepsARecord(t *testing.T) {
	d := formatted(t)
	for i, step := range upgrade {
		if err := open(t, d).Apply(step); err != nil {
			t.Fatal(i, err)
		}
	}
	r := open(t, d).Record()
	if r.Confirmed != B || r.Sequence != 6 {
		t.Errorf("after an upgrade: %s, sequence %d", r, r.Sequence)
	}
	before := bytes.Clone(d.data)
	if v, err := open(t, d).Booted(B); err != nil || v.Do != Run {
		t.Errorf("boot: %v, %v", v, err)
	}
	if !bytes.Equal(before, d.data) {
		t.Error("a boot that changes nothing wrote to the disk")
	}
}

// cuts are the ways in which a write of one copy can end: after each byte, and with any set of its sectors on the disk.
func cuts() map[string]func(old, new []byte) []byte {
	out := map[string]func(old, new []byte) []byte{}
	for n := range CopyBytes + 1 {
		out[fmt.Sprintf("after byte %d", n)] = func(old, new []byte) []byte { return append(bytes.Clone(new[:n]), old[n:]...) }
	}
	const sector = 512
	for set := range 1 << (CopyBytes / sector) {
		out[fmt.Sprintf("sectors %08b", set)] = func(old, new []byte) []byte {
			for i := range CopyBytes / sector {
				if set>>i&1 == 1 {
					copy(old[i*sector:], new[i*sector:(i+1)*sector])
				}
			}
			return old
		}
	}
	out["garbage"] = func(_, new []byte) []byte { return bytes.Repeat([]byte{0xa5}, len(new)) }
	return out
}

func TestPowerCutAtAnyByte(t *testing.T) {
	d := formatted(t)
	for i, step := range upgrade {
		before := open(t, d).Record()
		want, err := step(before)
		if err != nil {
			t.Fatal(err)
		}
		want.Sequence = before.Sequence + 1
		olds, news := 0, 0
		for name, cut := range cuts() {
			c := &disk{data: bytes.Clone(d.data), cut: cut}
			if err := open(t, c).Apply(step); !errors.Is(err, errPower) {
				t.Fatalf("step %d, %s: %v", i, name, err)
			}
			c.cut, c.off = nil, false
			j := open(t, c)
			switch r := j.Record(); {
			case reflect.DeepEqual(r, before):
				olds++
			case reflect.DeepEqual(r, want):
				news++
			default:
				t.Fatalf("step %d, %s: neither old nor new: %s", i, name, r)
			}
			// The machine goes on from there.
			if reflect.DeepEqual(j.Record(), before) {
				if err := j.Apply(step); err != nil || !reflect.DeepEqual(open(t, c).Record(), want) {
					t.Fatalf("step %d, %s: the second attempt: %v", i, name, err)
				}
			}
		}
		if olds == 0 || news == 0 {
			t.Errorf("step %d: %d cuts left the old record, %d the new one: the test does not cut where it should", i, olds, news)
		}
		if err := open(t, d).Apply(step); err != nil {
			t.Fatal(err)
		}
	}
}

func TestOneDamagedCopyIsSurvivedTwoAreNamed(t *testing.T) {
	for _, at := range []int{0, 9, 13, 20, 60, CopyBytes - 1} {
		d := formatted(t)
		d.data[at] ^= 1
		if r := open(t, d).Record(); r.Confirmed != A {
			t.Errorf("byte %d: %s", at, r)
		}
		d.data[CopyBytes+at] ^= 1
		if _, err := Open(d); !errors.Is(err, ErrNoRecord) {
			t.Errorf("byte %d in both copies: %v", at, err)
		}
	}
	if _, err := Open(&disk{data: make([]byte, 100)}); err == nil || errors.Is(err, ErrNoRecord) {
		t.Errorf("a disk of 100 bytes: %v; want the read error, so that no one formats a disk that does not answer", err)
	}
}

// bad is a disk with a sector that cannot be read until it is written again.
type bad struct {
	*disk
	at int64
}

func (b *bad) ReadAt(p []byte, off int64) (int, error) {
	if off == b.at {
		return 0, errors.New("unrecovered read error")
	}
	return b.disk.ReadAt(p, off)
}

func (b *bad) WriteAt(p []byte, off int64) (int, error) {
	if off == b.at {
		b.at = -1
	}
	return b.disk.WriteAt(p, off)
}

func TestABadSectorUnderOneCopyIsSurvived(t *testing.T) {
	for i := range int64(copies) {
		d := &bad{formatted(t), i * CopyBytes}
		j, err := Open(d)
		if err != nil {
			t.Fatalf("copy %d: %v", i+1, err)
		}
		if err := j.Apply(upgrade[0]); err != nil || d.at >= 0 {
			t.Errorf("copy %d: %v; the copy that cannot be read is the one to write", i+1, err)
		}
		if r := open(t, d.disk).Record(); r.Slots[B].State != Writing {
			t.Errorf("copy %d: %s", i+1, r)
		}
	}
}

func TestFailedTransitionWritesNothing(t *testing.T) {
	d := formatted(t)
	before := bytes.Clone(d.data)
	j := open(t, d)
	if err := j.Apply(func(r Record) (Record, error) { return r.Arm(B) }); err == nil {
		t.Error("an empty slot was armed")
	}
	if !bytes.Equal(before, d.data) || j.Record().Sequence != 1 {
		t.Error("a refused transition wrote")
	}
}

func FuzzDecode(f *testing.F) {
	r, err := New("1.0.0", "1.0.0")
	if err != nil {
		f.Fatal(err)
	}
	raw, err := Encode(r)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(raw[headerBytes:])
	f.Add([]byte(`{"sequence":1,"confirmed":"a","slots":{}}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		raw := make([]byte, CopyBytes)
		copy(raw, magic)
		n := copy(raw[headerBytes:], text)
		le32(raw[12:], uint32(n))
		le32(raw[8:], sum(raw))
		r, err := Decode(raw)
		if err != nil {
			return
		}
		if _, err := Encode(r); err != nil {
			t.Errorf("accepted a record that cannot be written: %v", err)
		}
		r.Booted(A)
		r.Booted(B)
	})
}

func le32(b []byte, v uint32) {
	for i := range 4 {
		b[i] = byte(v >> (8 * i))
	}
}

var _ io.ReaderAt = (*disk)(nil)
