package evidence

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"unicode/utf16"
)

const (
	maxEvents     = 4096
	maxEventBytes = 256 << 10 // a long dbx is the largest
	maxBanks      = 16

	algSHA256 = 0x000b // TPM_ALG_SHA256

	specID          = "Spec ID Event03\x00"
	startupLocality = "StartupLocality\x00"
)

// Event types that a rule looks at: PC Client Platform Firmware Profile section 10.4.1.
const (
	EventNoAction          = 0x00000003
	EventSeparator         = 0x00000004
	EventIPL               = 0x0000000d
	EventVariableConfig    = 0x80000001
	EventBootApplication   = 0x80000003
	EventAction            = 0x80000007
	EventVariableAuthority = 0x800000e0
)

// An Event is one entry of the log.
type Event struct {
	PCR    int
	Type   uint32
	Digest Digest // in the SHA-256 bank
	Data   []byte // what the writer says was measured; true only if it hashes to Digest, and for some types it does not
}

// A Log is the crypto-agile event log of the firmware.
type Log struct {
	Events   []Event
	locality byte // of the TPM's startup: the last byte of PCR 0 at its start
}

// cursor reads little-endian fields and remembers the first failure.
type cursor struct {
	b   []byte
	err error
}

func (c *cursor) take(n int64) []byte {
	if c.err == nil && (n < 0 || n > int64(len(c.b))) {
		c.err = fmt.Errorf("cut short: %d bytes wanted, %d there", n, len(c.b))
	}
	if c.err != nil {
		return nil
	}
	out := c.b[:n:n]
	c.b = c.b[n:]
	return out
}

func (c *cursor) u16() int {
	if b := c.take(2); b != nil {
		return int(binary.LittleEndian.Uint16(b))
	}
	return 0
}

func (c *cursor) u32() uint32 {
	if b := c.take(4); b != nil {
		return binary.LittleEndian.Uint32(b)
	}
	return 0
}

// ParseLog reads what Linux gives as binary_bios_measurements.
func ParseLog(raw []byte) (*Log, error) {
	log, err := parseLog(raw)
	if err != nil {
		return nil, fmt.Errorf("read event log: %w", err)
	}
	return log, nil
}

func parseLog(raw []byte) (*Log, error) {
	if len(raw) > MaxLogBytes {
		return nil, fmt.Errorf("%d bytes, more than %d", len(raw), MaxLogBytes)
	}
	c := &cursor{b: raw}
	sizes, err := header(c)
	if err != nil {
		return nil, err
	}
	log := &Log{}
	for len(c.b) > 0 {
		if len(log.Events) == maxEvents {
			return nil, fmt.Errorf("more than %d events", maxEvents)
		}
		e, err := event(c, sizes)
		if err != nil {
			return nil, fmt.Errorf("event %d: %w", len(log.Events)+1, err)
		}
		if n := len(startupLocality); e.Type == EventNoAction && e.PCR == 0 && len(e.Data) == n+1 && string(e.Data[:n]) == startupLocality {
			log.locality = e.Data[n]
		}
		log.Events = append(log.Events, e)
	}
	return log, nil
}

// header reads the first event, in the old format, which lists the banks: algorithm -> digest size.
func header(c *cursor) (map[int]int64, error) {
	pcr, kind := c.u32(), c.u32()
	c.take(20) // a SHA-1 of zeros
	body := &cursor{b: c.take(int64(c.u32()))}
	if c.err != nil {
		return nil, c.err
	}
	if pcr != 0 || kind != EventNoAction || string(body.take(int64(len(specID)))) != specID {
		return nil, errors.New("it is not a crypto-agile log of a TPM 2.0")
	}
	body.take(8) // platform class, version, errata, UINTN size
	n := body.u32()
	if n == 0 || n > maxBanks {
		return nil, fmt.Errorf("%d banks", n)
	}
	sizes := map[int]int64{}
	for range n {
		alg := body.u16()
		sizes[alg] = int64(body.u16())
	}
	if body.err != nil {
		return nil, body.err
	}
	if sizes[algSHA256] != sha256.Size {
		return nil, errors.New("it has no SHA-256 bank: switch the bank on in the firmware's setup")
	}
	return sizes, nil
}

func event(c *cursor, sizes map[int]int64) (Event, error) {
	e := Event{PCR: int(c.u32()), Type: c.u32()}
	n := c.u32()
	if c.err == nil && int(n) != len(sizes) {
		return e, fmt.Errorf("%d digests for %d banks", n, len(sizes))
	}
	seen := map[int]bool{}
	for range n {
		alg := c.u16()
		size, ok := sizes[alg]
		if c.err == nil && (!ok || seen[alg]) {
			return e, fmt.Errorf("a digest of algorithm %#x, which is no bank of its own", alg)
		}
		seen[alg] = true
		if d := c.take(size); alg == algSHA256 && d != nil {
			e.Digest = Digest(d)
		}
	}
	size := c.u32()
	if c.err == nil && size > maxEventBytes {
		return e, fmt.Errorf("%d bytes of data, more than %d", size, maxEventBytes)
	}
	e.Data = c.take(int64(size))
	if c.err == nil && (e.PCR < 0 || e.PCR >= pcrs) && e.Type != EventNoAction {
		return e, fmt.Errorf("there is no PCR %d", e.PCR)
	}
	return e, c.err
}

// Replay gives each PCR that the log extends its value.
func (l *Log) Replay() map[int]Digest {
	out := map[int]Digest{}
	for _, e := range l.Events {
		if e.Type == EventNoAction {
			continue
		}
		d, ok := out[e.PCR]
		if !ok && e.PCR == 0 {
			d[len(d)-1] = l.locality
		}
		out[e.PCR] = d.Extend(e.Digest)
	}
	return out
}

// Of lists the events of one PCR that were extended.
func (l *Log) Of(pcr int) []Event {
	var out []Event
	for _, e := range l.Events {
		if e.PCR == pcr && e.Type != EventNoAction {
			out = append(out, e)
		}
	}
	return out
}

// A Variable is the data of EV_EFI_VARIABLE events: UEFI_VARIABLE_DATA.
type Variable struct {
	Vendor [16]byte // GUID as UEFI stores it
	Name   string
	Data   []byte
}

// Encode is the bytes that firmware hashes for the variable.
func (v Variable) Encode() []byte {
	name := utf16.Encode([]rune(v.Name))
	out := append([]byte(nil), v.Vendor[:]...)
	out = binary.LittleEndian.AppendUint64(out, uint64(len(name)))
	out = binary.LittleEndian.AppendUint64(out, uint64(len(v.Data)))
	for _, u := range name {
		out = binary.LittleEndian.AppendUint16(out, u)
	}
	return append(out, v.Data...)
}

// Variable reads the event's data, and only if it is what was measured.
func (e Event) Variable() (Variable, error) {
	if sha256.Sum256(e.Data) != e.Digest {
		return Variable{}, errors.New("the data of a variable's event is not what was measured")
	}
	c := &cursor{b: e.Data}
	var v Variable
	copy(v.Vendor[:], c.take(16))
	nameLen, low := c.u32(), c.u32()
	dataLen, high := c.u32(), c.u32()
	name := c.take(int64(nameLen) * 2)
	v.Data = c.take(int64(dataLen))
	if c.err != nil || low != 0 || high != 0 || len(c.b) != 0 {
		return Variable{}, fmt.Errorf("the data of a variable's event does not parse: %w", cmpErr(c.err))
	}
	var u []uint16
	for i := 0; i < len(name); i += 2 {
		u = append(u, binary.LittleEndian.Uint16(name[i:]))
	}
	v.Name = string(utf16.Decode(u))
	return v, nil
}

func cmpErr(err error) error {
	if err == nil {
		return errors.New("its lengths do not fit")
	}
	return err
}
