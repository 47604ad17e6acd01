package authenticode

import (
	"bytes"
	"crypto"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/asn1"
	"errors"
	"fmt"
	"math/big"

	"ashlar/image/pe"
)

// The three ways in which a signature can be worth nothing.
var (
	ErrUnsigned = errors.New("the image is not signed")
	ErrOtherKey = errors.New("the image is signed by another key")
	ErrChanged  = errors.New("the image was changed after it was signed")
)

type contentInfo struct {
	Type    asn1.ObjectIdentifier
	Content asn1.RawValue // the [0] around it
}

type signedDataASN struct {
	Version      int
	Digests      asn1.RawValue
	Content      contentInfo
	Certificates asn1.RawValue   `asn1:"optional,tag:0"`
	Signers      []signerInfoASN `asn1:"set"`
}

type signerInfoASN struct {
	Version int
	ID      struct {
		Issuer asn1.RawValue
		Serial *big.Int
	}
	Digest     algorithmASN
	Attributes asn1.RawValue `asn1:"optional,tag:0"`
	SigAlg     algorithmASN
	Signature  []byte
}

type algorithmASN struct {
	ID         asn1.ObjectIdentifier
	Parameters asn1.RawValue `asn1:"optional"`
}

type attributeASN struct {
	Type   asn1.ObjectIdentifier
	Values asn1.RawValue
}

type indirectDataASN struct {
	Data   asn1.RawValue
	Digest struct {
		Algorithm algorithmASN
		Digest    []byte
	}
}

// Verify checks that the image carries a signature by exactly this certificate's key. There is no chain and no date: Secure
// Boot's db holds the signer's certificate itself, and firmware has no clock to trust.
func Verify(image []byte, cert *x509.Certificate) error {
	im, err := pe.Parse(image)
	if err != nil {
		return fmt.Errorf("check signature: %w", err)
	}
	blobs, err := im.Signatures()
	if err != nil {
		return fmt.Errorf("check signature: %w", err)
	}
	if len(blobs) == 0 {
		return fmt.Errorf("check signature: %w", ErrUnsigned)
	}
	digest := im.Digest()
	var first error
	for _, b := range blobs {
		err := verifyBlob(b, digest[:], cert)
		if err == nil {
			return nil
		}
		if first == nil {
			first = err
		}
	}
	return fmt.Errorf("check signature: %w", first)
}

func verifyBlob(der, digest []byte, cert *x509.Certificate) error {
	pub, ok := cert.PublicKey.(*rsa.PublicKey)
	if !ok || pub.Size() > 512 {
		return errors.New("the certificate holds no RSA key of at most 4096 bits")
	}
	content, signer, err := parseBlob(der)
	if err != nil {
		return err
	}
	if !bytes.Equal(signer.ID.Issuer.FullBytes, cert.RawIssuer) || signer.ID.Serial.Cmp(cert.SerialNumber) != 0 {
		return ErrOtherKey
	}
	attributes, err := parseAttributes(signer.Attributes.Bytes)
	if err != nil {
		return err
	}
	sum := sha256.Sum256(tlv(tagSet, signer.Attributes.Bytes))
	if rsa.VerifyPKCS1v15(pub, crypto.SHA256, sum[:], signer.Signature) != nil {
		return ErrOtherKey
	}
	if !bytes.Equal(attributes.contentType, oid(oidSPCIndirectData)) || !bytes.Equal(attributes.messageDigest, contentHash(content)) {
		return ErrChanged
	}
	var spc indirectDataASN
	if err := unmarshal(content, &spc); err != nil {
		return fmt.Errorf("read the signed hash: %w", err)
	}
	if !spc.Digest.Algorithm.ID.Equal(oidSHA256) || !bytes.Equal(spc.Digest.Digest, digest) {
		return ErrChanged
	}
	return nil
}

func parseBlob(der []byte) (content []byte, signer signerInfoASN, err error) {
	// The certificate table pads the blob with zeros, so bytes behind it are no fault.
	var outer contentInfo
	if _, err := asn1.Unmarshal(der, &outer); err != nil || !outer.Type.Equal(oidSignedData) {
		return nil, signer, errors.New("the signature is not PKCS#7 signed data")
	}
	var sd signedDataASN
	if err := unmarshal(outer.Content.Bytes, &sd); err != nil {
		return nil, signer, fmt.Errorf("read the signature: %w", err)
	}
	if len(sd.Signers) != 1 || !sd.Content.Type.Equal(oidSPCIndirectData) {
		return nil, signer, fmt.Errorf("the signature has %d signers of content %v; Authenticode has one, of its own type", len(sd.Signers), sd.Content.Type)
	}
	signer = sd.Signers[0]
	if !signer.Digest.ID.Equal(oidSHA256) || !signer.SigAlg.ID.Equal(oidRSA) || signer.Attributes.Tag != 0 || len(signer.Attributes.Bytes) > 4096 {
		return nil, signer, errors.New("the signature is not RSA with SHA-256 over signed attributes")
	}
	return sd.Content.Content.Bytes, signer, nil
}

type attributes struct{ contentType, messageDigest []byte }

func parseAttributes(der []byte) (attributes, error) {
	var out attributes
	for rest := der; len(rest) > 0; {
		var a attributeASN
		var err error
		if rest, err = asn1.Unmarshal(rest, &a); err != nil {
			return out, fmt.Errorf("read signed attributes: %w", err)
		}
		switch {
		case a.Type.Equal(oidContentType) && out.contentType == nil:
			out.contentType = a.Values.Bytes
		case a.Type.Equal(oidMessageDigest) && out.messageDigest == nil:
			var digest []byte
			if err := unmarshal(a.Values.Bytes, &digest); err != nil {
				return out, fmt.Errorf("read signed attributes: %w", err)
			}
			out.messageDigest = digest
		case a.Type.Equal(oidContentType), a.Type.Equal(oidMessageDigest):
			return out, errors.New("read signed attributes: one is there twice")
		}
	}
	return out, nil
}

// unmarshal refuses bytes behind the value.
func unmarshal(der []byte, to any) error {
	rest, err := asn1.Unmarshal(der, to)
	if err == nil && len(rest) > 0 {
		err = fmt.Errorf("%d bytes behind the value", len(rest))
	}
	return err
}
