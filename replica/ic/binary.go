package ic

import (
	"encoding/binary"
	"errors"
)

// MarshalBinary is the raw form, so that encoders which honour it (CBOR) write
// a principal as bytes, not as text.
func (p Principal) MarshalBinary() ([]byte, error) { return []byte(p), nil }

// UnmarshalBinary checks the length.
func (p *Principal) UnmarshalBinary(b []byte) error {
	q, err := PrincipalFromBytes(b)
	if err == nil {
		*p = q
	}
	return err
}

// MarshalBinary is big endian without leading zeros.
func (c Cycles) MarshalBinary() ([]byte, error) {
	b := binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint64(nil, c.Hi), c.Lo)
	for len(b) > 0 && b[0] == 0 {
		b = b[1:]
	}
	return b, nil
}

// UnmarshalBinary refuses more than 128 bits and leading zeros.
func (c *Cycles) UnmarshalBinary(b []byte) error {
	if len(b) > 16 || len(b) > 0 && b[0] == 0 {
		return errors.New("an amount of cycles has more than 16 bytes or a leading zero")
	}
	var full [16]byte
	copy(full[16-len(b):], b)
	*c = Cycles{binary.BigEndian.Uint64(full[:8]), binary.BigEndian.Uint64(full[8:])}
	return nil
}
