package pe

import (
	"crypto/sha256"
	"errors"
	"fmt"
)

// WIN_CERTIFICATE, UEFI 2.10 section 32.2.4.
const (
	winCertHeaderBytes = 8
	winCertRevision2   = 0x0200
	winCertPKCS7       = 0x0002
	maxSignatures      = 8 // ours have one; firmware vendors append two or three
)

// Digest is the Authenticode SHA-256 of the image: everything but the checksum, the certificate directory entry and the
// certificate table. It is what a signature signs, and what firmware extends into PCR 4.
func (im *Image) Digest() [sha256.Size]byte {
	h := sha256.New()
	sum, dir := im.opt+optChecksum, im.opt+optCertificates
	h.Write(im.raw[:sum])
	h.Write(im.raw[sum+4 : dir])
	h.Write(im.raw[dir+8 : im.content()]) // the sections are gapless and in file order: see Parse
	return [sha256.Size]byte(h.Sum(nil))
}

// content is the number of bytes before the certificate table.
func (im *Image) content() int {
	if im.certs.size > 0 {
		return im.certs.off
	}
	return len(im.raw)
}

// Signatures returns the PKCS#7 blobs of the certificate table.
func (im *Image) Signatures() ([][]byte, error) {
	var out [][]byte
	for rest := im.raw[im.content():]; len(rest) > 0; {
		if len(rest) < winCertHeaderBytes {
			return nil, errors.New("read certificate table: cut short")
		}
		size := int64(le.Uint32(rest))
		if size < winCertHeaderBytes || size > int64(len(rest)) {
			return nil, fmt.Errorf("read certificate table: an entry of %d bytes in %d", size, len(rest))
		}
		if le.Uint16(rest[6:]) == winCertPKCS7 {
			out = append(out, rest[winCertHeaderBytes:size])
		}
		if len(out) > maxSignatures {
			return nil, fmt.Errorf("read certificate table: more than %d signatures", maxSignatures)
		}
		rest = rest[min((size+7)&^7, int64(len(rest))):]
	}
	return out, nil
}

// WithSignature returns a copy of the image whose only certificate is the PKCS#7 blob.
func (im *Image) WithSignature(der []byte) []byte {
	content := im.content()
	if content%8 != 0 {
		panic(fmt.Sprintf("pe: certificate table at %d, which is not a multiple of 8: build the image with Append", content))
	}
	size := (winCertHeaderBytes + len(der) + 7) &^ 7
	out := make([]byte, content+size)
	copy(out, im.raw[:content])
	cert := out[content:]
	le.PutUint32(cert, uint32(winCertHeaderBytes+len(der)))
	le.PutUint16(cert[4:], winCertRevision2)
	le.PutUint16(cert[6:], winCertPKCS7)
	copy(cert[winCertHeaderBytes:], der)
	dir := out[im.opt+optCertificates:]
	le.PutUint32(dir, uint32(content))
	le.PutUint32(dir[4:], uint32(size))
	return out
}
