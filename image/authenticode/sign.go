// Package authenticode signs PE images as UEFI Secure Boot wants it, and checks such signatures.
//
//	PKCS#7 SignedData
//	  content: SpcIndirectData { SHA-256 of the image }          <- pe.Image.Digest
//	  certificate
//	  signer:  signed attributes { content type, SHA-256 of content }, RSA-2048 PKCS#1 v1.5 over them
//
// The same image and key give the same bytes: there is no signing time and no random padding. sbverify and EDK2 accept it.
// Spec: "Windows Authenticode Portable Executable Signature Format" (2008), RFC 2315, UEFI 2.10 section 32.5.
// Which keys, and who trusts them, is left to image/keys and image/varstore.
package authenticode

import (
	"crypto"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/asn1"
	"errors"
	"fmt"

	"ashlar/image/pe"
)

var (
	oidSignedData       = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 7, 2}
	oidContentType      = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 3}
	oidMessageDigest    = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 4}
	oidRSA              = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 1, 1}
	oidSHA256           = asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 2, 1}
	oidSPCIndirectData  = asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 311, 2, 1, 4}
	oidSPCPEImageData   = asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 311, 2, 1, 15}
	obsoleteFileName    = "<<<Obsolete>>>" // the name that the format's text asks for, in place of a file's
	tagSequence, tagSet = byte(0x30), byte(0x31)
)

// Sign returns the image with a signature by key, whose certificate is cert, in place of any that it had.
func Sign(image []byte, key *rsa.PrivateKey, cert *x509.Certificate) ([]byte, error) {
	im, err := pe.Parse(image)
	if err != nil {
		return nil, fmt.Errorf("sign: %w", err)
	}
	if pub, ok := cert.PublicKey.(*rsa.PublicKey); !ok || !pub.Equal(key.Public()) {
		return nil, errors.New("sign: the certificate is not for this key")
	}
	digest := im.Digest()
	content := indirectData(digest[:])
	attributes := signedAttributes(contentHash(content))
	sum := sha256.Sum256(tlv(tagSet, attributes)) // hashed as a SET, sent with the tag [0]: RFC 2315 section 9.3
	signature, err := rsa.SignPKCS1v15(nil, key, crypto.SHA256, sum[:])
	if err != nil {
		return nil, fmt.Errorf("sign: %w", err)
	}
	return im.WithSignature(signedData(content, attributes, signature, cert)), nil
}

// indirectData is the SpcIndirectDataContent for a PE image of this hash.
func indirectData(digest []byte) []byte {
	var name []byte
	for _, c := range obsoleteFileName {
		name = append(name, 0, byte(c))
	}
	file := tlv(0xa2, tlv(0x80, name))
	return seq(
		seq(oid(oidSPCPEImageData), seq(tlv(0x03, []byte{0}), tlv(0xa0, file))),
		seq(algorithm(oidSHA256), tlv(0x04, digest)),
	)
}

// contentHash leaves out tag and length of the content: RFC 2315 section 9.3.
func contentHash(content []byte) []byte {
	var v asn1.RawValue
	if _, err := asn1.Unmarshal(content, &v); err != nil {
		panic(fmt.Sprintf("authenticode: our own content does not parse: %v", err))
	}
	sum := sha256.Sum256(v.Bytes)
	return sum[:]
}

// signedAttributes are two, in DER's order for a SET OF: the shorter first.
func signedAttributes(messageDigest []byte) []byte {
	return cat(
		seq(oid(oidContentType), tlv(tagSet, oid(oidSPCIndirectData))),
		seq(oid(oidMessageDigest), tlv(tagSet, tlv(0x04, messageDigest))),
	)
}

func signedData(content, attributes, signature []byte, cert *x509.Certificate) []byte {
	one := tlv(0x02, []byte{1})
	serial := must(asn1.Marshal(cert.SerialNumber))
	signer := seq(one, seq(cert.RawIssuer, serial), algorithm(oidSHA256), tlv(0xa0, attributes), algorithm(oidRSA), tlv(0x04, signature))
	return seq(oid(oidSignedData), tlv(0xa0, seq(
		one,
		tlv(tagSet, algorithm(oidSHA256)),
		seq(oid(oidSPCIndirectData), tlv(0xa0, content)),
		tlv(0xa0, cert.Raw),
		tlv(tagSet, signer),
	)))
}

func algorithm(id asn1.ObjectIdentifier) []byte { return seq(oid(id), asn1.NullBytes) }
func oid(id asn1.ObjectIdentifier) []byte       { return must(asn1.Marshal(id)) }
func seq(parts ...[]byte) []byte                { return tlv(tagSequence, parts...) }

// tlv is one DER element: tag, length, value.
func tlv(tag byte, parts ...[]byte) []byte {
	value := cat(parts...)
	n := len(value)
	switch {
	case n < 0x80:
		return append([]byte{tag, byte(n)}, value...)
	case n < 0x100:
		return append([]byte{tag, 0x81, byte(n)}, value...)
	case n < 0x10000:
		return append([]byte{tag, 0x82, byte(n >> 8), byte(n)}, value...)
	}
	panic(fmt.Sprintf("authenticode: a DER element of %d bytes", n))
}

func cat(parts ...[]byte) []byte {
	var out []byte
	for _, p := range parts {
		out = append(out, p...)
	}
	return out
}

func must(b []byte, err error) []byte {
	if err != nil {
		panic(fmt.Sprintf("authenticode: encode DER: %v", err))
	}
	return b
}
