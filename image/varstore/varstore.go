// Package varstore writes Secure Boot keys into the variable store of an OVMF flash image, and reads such a store.
//
//	firmware volume header  (its length, 0x48 in OVMF)
//	variable store header   size, format, state
//	variable | variable | ... | 0xff to the end of the store     each: header, name in UTF-16, data, aligned to 4
//
// With PK, KEK, db and SecureBootEnable in it, the firmware starts in user mode and runs only images signed by db.
// Spec: EDK2's VariableFormat.h (authenticated variables), UEFI 2.10 sections 8.2 and 32.4.1.
// Real machines are enrolled through their firmware setup; this is for virtual ones.
package varstore

import (
	"bytes"
	"crypto/x509"
	"encoding/binary"
	"errors"
	"fmt"
	"unicode/utf16"
)

// A GUID in the byte order of UEFI: three little-endian fields, then eight bytes.
type GUID [16]byte

// The GUIDs of the store and of Secure Boot's variables.
var (
	authenticatedStore = GUID{0x78, 0x2c, 0xf3, 0xaa, 0x7b, 0x94, 0x9a, 0x43, 0xa1, 0x80, 0x2e, 0x14, 0x4e, 0xc3, 0x77, 0x92}
	Global             = GUID{0x61, 0xdf, 0xe4, 0x8b, 0xca, 0x93, 0xd2, 0x11, 0xaa, 0x0d, 0x00, 0xe0, 0x98, 0x03, 0x2b, 0x8c}
	ImageSecurity      = GUID{0xcb, 0xb2, 0x19, 0xd7, 0x3a, 0x3d, 0x96, 0x45, 0xa3, 0xbc, 0xda, 0xd0, 0x0e, 0x67, 0x65, 0x6f}
	secureBootEnable   = GUID{0x0b, 0xa3, 0x0a, 0xf0, 0x8f, 0xaf, 0x56, 0x45, 0x99, 0xc4, 0x00, 0x10, 0x09, 0xc9, 0x3a, 0x44}
	certX509           = GUID{0xa1, 0x59, 0xc0, 0xa5, 0xe4, 0x94, 0xa7, 0x4a, 0x87, 0xb5, 0xab, 0x15, 0x5c, 0x2b, 0xf0, 0x72}

	// Owner is the SignatureOwner of our keys. It is measured into PCR 7, so it never changes: 61736c61-7200-4000-8000-6f776e657221.
	Owner = GUID{0x61, 0x6c, 0x73, 0x61, 0x00, 0x72, 0x00, 0x40, 0x80, 0x00, 0x6f, 0x77, 0x6e, 0x65, 0x72, 0x21}
)

const (
	maxStoreBytes    = 4 << 20 // OVMF's is 528 KiB or 84 KiB
	maxVariables     = 512     // OVMF leaves about 40 after a boot
	volumeSignature  = 0x28    // offset of "_FVH"
	volumeHeaderSize = 0x30    // offset of HeaderLength
	storeHeaderBytes = 28
	headerBytes      = 60
	startID          = 0x55aa
	stateAdded       = 0x3f
	storeFormatted   = 0x5a
	storeHealthy     = 0xfe

	attrBoot    = 0x3  // non-volatile, boot services
	attrAuthKey = 0x27 // the same, runtime, time-based authenticated
)

// The time from which the keys are valid: an authenticated update must carry a later one. EFI_TIME of 2026-01-01.
var enrolledAt = [16]byte{0xea, 0x07, 1, 1}

var le = binary.LittleEndian

// Keys are the certificates of Secure Boot.
type Keys struct{ PK, KEK, DB *x509.Certificate }

// A Variable of the store.
type Variable struct {
	Name       string
	Vendor     GUID
	Attributes uint32
	Data       []byte
}

// SignatureList is the content of PK, KEK and db with one certificate: EFI_SIGNATURE_LIST, UEFI 2.10 section 32.4.1.
func SignatureList(cert *x509.Certificate) []byte {
	data := SignatureData(cert)
	out := append([]byte(nil), certX509[:]...)
	out = le.AppendUint32(out, uint32(28+len(data)))
	out = le.AppendUint32(out, 0)
	out = le.AppendUint32(out, uint32(len(data)))
	return append(out, data...)
}

// SignatureData is one entry of such a list: EFI_SIGNATURE_DATA. Firmware measures it when it used the entry to let an image start.
func SignatureData(cert *x509.Certificate) []byte {
	return append(append([]byte(nil), Owner[:]...), cert.Raw...)
}

// Enroll returns a copy of the flash image in which Secure Boot is enforced with these keys. The image must be pristine.
func Enroll(flash []byte, keys Keys) ([]byte, error) {
	out := append([]byte(nil), flash...)
	store, err := locate(out)
	if err != nil {
		return nil, fmt.Errorf("enrol Secure Boot keys: %w", err)
	}
	at, vars, err := scan(store)
	if err != nil {
		return nil, fmt.Errorf("enrol Secure Boot keys: %w", err)
	}
	for _, v := range vars {
		if v.Vendor == Global && (v.Name == "PK" || v.Name == "KEK") {
			return nil, fmt.Errorf("enrol Secure Boot keys: the store has a %s already: start from the firmware's pristine OVMF_VARS file", v.Name)
		}
	}
	for _, v := range []Variable{
		{"SecureBootEnable", secureBootEnable, attrBoot, []byte{1}},
		{"db", ImageSecurity, attrAuthKey, SignatureList(keys.DB)},
		{"KEK", Global, attrAuthKey, SignatureList(keys.KEK)},
		{"PK", Global, attrAuthKey, SignatureList(keys.PK)},
	} {
		raw := v.encode()
		if at+len(raw) > len(store) {
			return nil, fmt.Errorf("enrol Secure Boot keys: no room for %s: the store has %d bytes", v.Name, len(store))
		}
		copy(store[at:], raw)
		at += (len(raw) + 3) &^ 3
	}
	return out, nil
}

// Read lists the live variables of a flash image.
func Read(flash []byte) ([]Variable, error) {
	store, err := locate(flash)
	if err != nil {
		return nil, fmt.Errorf("read variable store: %w", err)
	}
	_, vars, err := scan(store)
	if err != nil {
		return nil, fmt.Errorf("read variable store: %w", err)
	}
	return vars, nil
}

// locate returns the variable store with its header, a part of flash.
func locate(flash []byte) ([]byte, error) {
	if len(flash) < volumeHeaderSize+2 || len(flash) > maxStoreBytes || string(flash[volumeSignature:volumeSignature+4]) != "_FVH" {
		return nil, errors.New("this is not a firmware volume: give a copy of OVMF_VARS_4M.fd")
	}
	at := int(le.Uint16(flash[volumeHeaderSize:]))
	if at+storeHeaderBytes > len(flash) || !bytes.Equal(flash[at:at+16], authenticatedStore[:]) {
		return nil, errors.New("the volume holds no store of authenticated variables: this OVMF was built without Secure Boot")
	}
	size := int64(le.Uint32(flash[at+16:]))
	if size < storeHeaderBytes || int64(at)+size > int64(len(flash)) || flash[at+20] != storeFormatted || flash[at+21] != storeHealthy {
		return nil, errors.New("the variable store is damaged or not formatted")
	}
	return flash[at : at+int(size)], nil
}

// scan walks the store and returns the first free offset and the live variables.
func scan(store []byte) (int, []Variable, error) {
	var vars []Variable
	at := storeHeaderBytes
	for range maxVariables {
		if at+headerBytes > len(store) || le.Uint16(store[at:]) != startID {
			return at, vars, nil
		}
		h := store[at:]
		nameBytes, dataBytes := int64(le.Uint32(h[36:])), int64(le.Uint32(h[40:]))
		end := int64(at) + headerBytes + nameBytes + dataBytes
		if end > int64(len(store)) || nameBytes < 2 || nameBytes%2 != 0 {
			return 0, nil, fmt.Errorf("the variable at offset %d ends after the store", at)
		}
		if h[2] == stateAdded {
			vars = append(vars, Variable{
				Name:       decodeName(h[headerBytes : headerBytes+nameBytes]),
				Vendor:     GUID(h[44:60]),
				Attributes: le.Uint32(h[4:]),
				Data:       h[headerBytes+nameBytes : headerBytes+nameBytes+dataBytes],
			})
		}
		at = int(end+3) &^ 3
	}
	return 0, nil, fmt.Errorf("the store has more than %d variables", maxVariables)
}

// encode writes AUTHENTICATED_VARIABLE_HEADER, name and data.
func (v Variable) encode() []byte {
	name := encodeName(v.Name)
	h := make([]byte, headerBytes)
	le.PutUint16(h, startID)
	h[2] = stateAdded
	le.PutUint32(h[4:], v.Attributes)
	if v.Attributes == attrAuthKey {
		copy(h[16:32], enrolledAt[:])
	}
	le.PutUint32(h[36:], uint32(len(name)))
	le.PutUint32(h[40:], uint32(len(v.Data)))
	copy(h[44:60], v.Vendor[:])
	return append(append(h, name...), v.Data...)
}

func encodeName(s string) []byte {
	var out []byte
	for _, u := range utf16.Encode([]rune(s + "\x00")) {
		out = le.AppendUint16(out, u)
	}
	return out
}

func decodeName(b []byte) string {
	var u []uint16
	for i := 0; i+2 < len(b); i += 2 { // without the NUL
		u = append(u, le.Uint16(b[i:]))
	}
	return string(utf16.Decode(u))
}
