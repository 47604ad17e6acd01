package cbor

import "encoding/binary"

// The major types of RFC 8949, section 3.1, that requests and certificates are made of.
const (
	Nat   byte = 0
	Bytes byte = 2
	Text  byte = 3
	Array byte = 4
	Map   byte = 5
)

// ReadHead reads the head of an item: its major type, and its value, or how many bytes,
// items or pairs follow. size is that of the head in bytes; 0 where it is cut short or
// of indefinite length.
func ReadHead(data []byte) (major byte, n uint64, size int) {
	if len(data) == 0 {
		return 0, 0, 0
	}
	major = data[0] >> 5
	info := data[0] & 31
	if info < 24 {
		return major, uint64(info), 1
	}
	if info > 27 {
		return major, 0, 0
	}
	more := 1 << (info - 24)
	if len(data) < 1+more {
		return major, 0, 0
	}
	for _, b := range data[1 : 1+more] {
		n = n<<8 | uint64(b)
	}
	return major, n, 1 + more
}

// HeadBytes is the least size of a head for n.
func HeadBytes(n uint64) int {
	switch {
	case n < 24:
		return 1
	case n < 1<<8:
		return 2
	case n < 1<<16:
		return 3
	case n < 1<<32:
		return 5
	}
	return 9
}

// AppendHead writes the shortest head for n.
func AppendHead(out []byte, major byte, n uint64) []byte {
	major <<= 5
	switch HeadBytes(n) {
	case 1:
		return append(out, major|byte(n))
	case 2:
		return append(out, major|24, byte(n))
	case 3:
		return binary.BigEndian.AppendUint16(append(out, major|25), uint16(n))
	case 5:
		return binary.BigEndian.AppendUint32(append(out, major|26), uint32(n))
	}
	return binary.BigEndian.AppendUint64(append(out, major|27), n)
}

// AppendBytes writes a byte string.
func AppendBytes(out, b []byte) []byte { return append(AppendHead(out, Bytes, uint64(len(b))), b...) }

// AppendText writes a text.
func AppendText(out []byte, s string) []byte {
	return append(AppendHead(out, Text, uint64(len(s))), s...)
}

// AppendTag writes the tag of self-described CBOR.
func AppendTag(out []byte) []byte { return append(out, selfDescribed...) }

// TrimTag takes that tag away, if it is there.
func TrimTag(data []byte) []byte {
	if len(data) >= len(selfDescribed) && string(data[:len(selfDescribed)]) == selfDescribed {
		return data[len(selfDescribed):]
	}
	return data
}
