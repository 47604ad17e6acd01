package gpt

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
)

// GUID is a partition or disk identifier in the byte order of the disk: the
// first three fields are little-endian (UEFI 2.10, appendix A).
type GUID [16]byte

// String writes the GUID as people do: C12A7328-F81F-11D2-BA4B-00A0C93EC93B.
func (g GUID) String() string {
	s := g.swap()
	return fmt.Sprintf("%X-%X-%X-%X-%X", s[0:4], s[4:6], s[6:8], s[8:10], s[10:16])
}

// ParseGUID reads the form that String writes; case does not matter.
func ParseGUID(s string) (GUID, error) {
	bad := fmt.Errorf("GUID %q is not of the form C12A7328-F81F-11D2-BA4B-00A0C93EC93B", s)
	if len(s) != 36 || s[8] != '-' || s[13] != '-' || s[18] != '-' || s[23] != '-' {
		return GUID{}, bad
	}
	b, err := hex.DecodeString(s[0:8] + s[9:13] + s[14:18] + s[19:23] + s[24:36])
	if err != nil {
		return GUID{}, bad
	}
	return GUID(b).swap(), nil
}

// MustGUID is ParseGUID for constants.
func MustGUID(s string) GUID {
	g, err := ParseGUID(s)
	if err != nil {
		panic(err)
	}
	return g
}

// Derive makes a version 8 (RFC 9562: own content) GUID from a seed and a name: the
// same seed gives the same disk, another seed a disk with no GUID in common.
func Derive(seed []byte, name string) GUID {
	h := sha256.New()
	fmt.Fprintf(h, "ashlar guid\x00%d\x00", len(seed))
	h.Write(seed)
	h.Write([]byte(name))
	s := GUID(h.Sum(nil)[:16])
	s[6] = s[6]&0x0f | 0x80
	s[8] = s[8]&0x3f | 0x80
	return s.swap()
}

// swap turns the order of the disk into that of the text, or back.
func (g GUID) swap() GUID {
	g[0], g[1], g[2], g[3] = g[3], g[2], g[1], g[0]
	g[4], g[5] = g[5], g[4]
	g[6], g[7] = g[7], g[6]
	return g
}
