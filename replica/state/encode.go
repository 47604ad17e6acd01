package state

import (
	"encoding/binary"

	"ashlar/replica/ic"
	"ashlar/replica/wire/cbor"
)

// This file: the encoding of the values that nearly every round writes, by hand: the
// same bytes that storage makes of them, in a tenth of the time. What is seldom there
// is left to it.

// encoded is v as the store has it.
func encoded(v any) []byte { return encode(nil, v) }

// encode is encoded behind b.
func encode(b []byte, v any) []byte {
	switch v := v.(type) {
	case *Record:
		return v.encode(b)
	case *Call:
		return v.encode(b)
	case []Global:
		return encodeGlobals(b, v)
	}
	return marshal(b, v)
}

func marshal(b []byte, v any) []byte {
	raw, err := storage.Marshal(v)
	if err != nil {
		panic("state: encode: " + err.Error())
	}
	return append(b, raw...)
}

const (
	cborNil  = 0xf6
	cborTrue = 0xf5
)

func cborString[S ~string | ~[]byte](b []byte, major byte, s S) []byte {
	return append(cbor.AppendHead(b, major, uint64(len(s))), s...)
}

func cborCycles(b []byte, c ic.Cycles) []byte {
	var raw [16]byte
	binary.BigEndian.PutUint64(raw[:], c.Hi)
	binary.BigEndian.PutUint64(raw[8:], c.Lo)
	at := 0
	for at < len(raw) && raw[at] == 0 {
		at++
	}
	return cborString(b, cbor.Bytes, raw[at:])
}

// fields is a map by small numbers, which come in order.
type fields struct {
	b     []byte
	start int // of its head
	n     byte
}

// begin leaves a byte for the head.
func begin(b []byte) fields { return fields{append(b, 0), len(b), 0} }

func (f *fields) key(k byte) {
	f.n++
	f.b = cbor.AppendHead(f.b, cbor.Nat, uint64(k))
}

func (f *fields) number(k byte, n uint64) {
	f.key(k)
	f.b = cbor.AppendHead(f.b, cbor.Nat, n)
}

// some is number where it is not zero.
func (f *fields) some(k byte, n uint64) {
	if n != 0 {
		f.number(k, n)
	}
}

func (f *fields) flag(k byte, set bool) {
	if set {
		f.key(k)
		f.b = append(f.b, cborTrue)
	}
}

func (f *fields) cycles(k byte, c ic.Cycles) {
	f.key(k)
	f.b = cborCycles(f.b, c)
}

func (f *fields) bytes(k byte, s string) {
	f.key(k)
	f.b = cborString(f.b, cbor.Bytes, s)
}

// other is any value, by storage.
func (f *fields) other(k byte, there bool, v any) {
	if there {
		f.key(k)
		f.b = marshal(f.b, v)
	}
}

// end puts the head where it belongs.
func (f *fields) end() []byte {
	if f.n < 24 {
		f.b[f.start] = cbor.Map<<5 | f.n
		return f.b
	}
	f.b = append(f.b, 0)
	copy(f.b[f.start+2:], f.b[f.start+1:])
	f.b[f.start], f.b[f.start+1] = cbor.Map<<5|24, f.n
	return f.b
}

func (r *Record) encode(b []byte) []byte {
	f := begin(b)
	f.number(1, uint64(r.Run))
	f.other(2, len(r.StopCalls) > 0, r.StopCalls)
	f.key(3)
	f.b = r.Settings.encode(f.b)
	f.cycles(4, r.Cycles)
	f.cycles(5, r.Reserved)
	f.number(6, r.Version)
	if len(r.Certified) > 0 {
		f.bytes(7, string(r.Certified))
	}
	f.some(8, uint64(r.Timer))
	f.some(9, r.NextContext)
	f.some(10, r.NextCallback)
	f.some(11, r.NextPlace)
	f.some(12, r.NextLog)
	f.some(13, r.NextSnapshot)
	f.some(14, r.LogBytes)
	f.number(15, uint64(r.Created))
	f.some(16, uint64(r.Installed))
	f.number(17, uint64(r.Charged))
	f.some(18, uint64(r.LowMemory))
	f.number(19, r.Changes)
	f.key(20)
	f.b = r.Consumed.encode(f.b)
	f.some(21, uint64(r.LastRound))
	f.key(22)
	f.b = r.Stats.encode(f.b)
	f.some(23, r.HeapBytes)
	f.some(24, r.StableBytes)
	f.some(25, uint64(r.Heartbeats))
	f.other(26, r.Long != nil, r.Long)
	f.some(27, r.Credit)
	f.some(28, r.HeapDebit)
	f.some(29, r.InstallDebit)
	f.some(30, uint64(r.DebitAt))
	f.other(31, len(r.Reports) > 0, r.Reports)
	f.some(32, r.ReportEpoch)
	return f.end()
}

func (s *Settings) encode(b []byte) []byte {
	f := begin(b)
	f.key(1)
	f.b = encodePrincipals(f.b, s.Controllers)
	f.some(2, s.ComputeAllocation)
	f.some(3, s.MemoryAllocation)
	f.number(4, s.FreezingThreshold)
	f.cycles(5, s.ReservedLimit)
	f.cycles(6, s.MinimumCallCycles)
	f.some(7, s.MemoryLimit)
	f.some(8, s.MemoryThreshold)
	for i, v := range []*Visibility{&s.LogVisibility, &s.SnapshotsVisible, &s.StatusVisibility} {
		f.key(byte(9 + i))
		f.b = v.encode(f.b)
	}
	f.number(12, s.LogLimit)
	f.other(13, len(s.Environment) > 0, s.Environment)
	return f.end()
}

func encodePrincipals(b []byte, list []ic.Principal) []byte {
	if list == nil {
		return append(b, cborNil)
	}
	b = cbor.AppendHead(b, cbor.Array, uint64(len(list)))
	for _, p := range list {
		b = cborString(b, cbor.Bytes, p)
	}
	return b
}

func (v *Visibility) encode(b []byte) []byte {
	f := begin(b)
	f.flag(1, v.Public)
	if len(v.Viewers) > 0 {
		f.key(2)
		f.b = encodePrincipals(f.b, v.Viewers)
	}
	return f.end()
}

func (c *Consumed) encode(b []byte) []byte {
	f := begin(b)
	for i, use := range []*ic.Cycles{&c.Memory, &c.Compute, &c.Ingress, &c.Instructions, &c.Transmission, &c.Uninstall, &c.Creation, &c.Outcalls, &c.Burned} {
		f.cycles(byte(1+i), *use)
	}
	return f.end()
}

func (s *Stats) encode(b []byte) []byte {
	f := begin(b)
	f.some(1, s.Calls)
	f.some(2, s.Instructions)
	f.some(3, s.RequestBytes)
	f.some(4, s.ResponseBytes)
	return f.end()
}

func (c *Call) encode(b []byte) []byte {
	f := begin(b)
	f.number(1, uint64(c.State))
	if len(c.Reply) > 0 {
		f.key(2)
		f.b = cborString(f.b, cbor.Bytes, c.Reply)
	}
	f.other(3, c.Reject != nil, c.Reject)
	f.bytes(4, string(c.Sender))
	f.bytes(5, string(c.Effective.Principal))
	f.number(6, uint64(c.Expiry))
	f.number(7, uint64(c.Updated))
	f.bytes(8, string(c.Callee.Principal))
	return f.end()
}

func encodeGlobals(b []byte, list []Global) []byte {
	b = cbor.AppendHead(b, cbor.Array, uint64(len(list)))
	for i := range list {
		f := begin(b)
		f.number(1, uint64(list[i].Type))
		f.some(2, list[i].Lo)
		f.some(3, list[i].Hi)
		b = f.end()
	}
	return b
}
