package verify

import (
	"bytes"
	"crypto"
	"crypto/subtle"
	"crypto/x509"
	"encoding/asn1"
	"errors"
	"fmt"
	"io"

	"github.com/google/go-tpm/tpm2"

	"ashlar/attestation/evidence"
)

// secretBytes: the credential's secret must fit a SHA-256 digest, and nobody shall guess it.
const secretBytes = 32

// Challenge makes a credential for a machine that says it has these keys. Its TPM answers with the secret if EK and AK are both in it.
// What is proved is that the AK belongs to the EK. That the EK belongs to a real TPM follows from its maker's certificate
// (Certificate, and a chain that the caller checks), or from the operator, who stands before the machine when enrolling it.
func Challenge(rand io.Reader, id evidence.Identity) (evidence.Challenge, []byte, error) {
	ak, err := tpm2.Unmarshal[tpm2.TPMTPublic](id.AK)
	if err != nil {
		return evidence.Challenge{}, nil, fmt.Errorf("enrol: the attestation key does not parse: %w", err)
	}
	if err := attestationKey(ak); err != nil {
		return evidence.Challenge{}, nil, fmt.Errorf("enrol: %w", err)
	}
	ek, err := endorsementKey(id)
	if err != nil {
		return evidence.Challenge{}, nil, fmt.Errorf("enrol: %w", err)
	}
	name, err := tpm2.ObjectName(ak)
	if err != nil {
		return evidence.Challenge{}, nil, fmt.Errorf("enrol: %w", err)
	}
	to, err := tpm2.ImportEncapsulationKey(ek)
	if err != nil {
		return evidence.Challenge{}, nil, fmt.Errorf("enrol: the endorsement key: %w", err)
	}
	secret := make([]byte, secretBytes)
	if _, err := io.ReadFull(rand, secret); err != nil {
		return evidence.Challenge{}, nil, fmt.Errorf("enrol: %w", err)
	}
	blob, seed, err := tpm2.CreateCredential(rand, to, name.Buffer, secret)
	if err != nil {
		return evidence.Challenge{}, nil, fmt.Errorf("enrol: seal the credential: %w", err)
	}
	return evidence.Challenge{Credential: blob, Secret: seed}, secret, nil
}

// Enrol compares the machine's answer with the secret, and returns the bytes of its identity file.
func Enrol(id evidence.Identity, secret []byte, answer evidence.Answer) ([]byte, error) {
	if len(secret) != secretBytes || subtle.ConstantTimeCompare(secret, answer.Secret) != 1 {
		return nil, errors.New("enrol: the machine could not open the credential: its attestation key is not in the TPM of its endorsement key")
	}
	return evidence.EncodeIdentity(id)
}

// endorsementKey refuses an EK that a machine could have made outside of TCG's rules for one.
func endorsementKey(id evidence.Identity) (*tpm2.TPMTPublic, error) {
	ek, err := tpm2.Unmarshal[tpm2.TPMTPublic](id.EK)
	if err != nil {
		return nil, fmt.Errorf("the endorsement key does not parse: %w", err)
	}
	a := ek.ObjectAttributes
	if !a.Restricted || !a.Decrypt || a.SignEncrypt || !a.FixedTPM || !a.FixedParent || !a.SensitiveDataOrigin {
		return nil, errors.New("the endorsement key is not a restricted decryption key that cannot leave its TPM")
	}
	if !bytes.Equal(ek.AuthPolicy.Buffer, tpm2.ECCEKTemplate.AuthPolicy.Buffer) {
		return nil, errors.New("the endorsement key does not have the policy of TCG's template")
	}
	return ek, nil
}

// Certificate parses the maker's certificate of the EK, and checks that it is for this EK. The caller checks its chain: which makers
// it trusts, and the time, are not this package's to know. nil without an error: the TPM carries none.
func Certificate(id evidence.Identity) (*x509.Certificate, error) {
	if len(id.EKCert) == 0 {
		return nil, nil
	}
	var der asn1.RawValue
	padding, err := asn1.Unmarshal(id.EKCert, &der)
	if err == nil && len(bytes.Trim(padding, "\x00\xff")) > 0 { // some makers' NV index is larger than what is in it
		err = errors.New("there are bytes behind it")
	}
	if err != nil {
		return nil, fmt.Errorf("the endorsement key's certificate: %w", err)
	}
	cert, err := x509.ParseCertificate(der.FullBytes)
	if err != nil {
		return nil, fmt.Errorf("the endorsement key's certificate: %w", err)
	}
	ek, err := endorsementKey(id)
	if err != nil {
		return nil, err
	}
	pub, err := tpm2.Pub(*ek)
	if err != nil {
		return nil, fmt.Errorf("the endorsement key: %w", err)
	}
	if key, ok := cert.PublicKey.(interface{ Equal(crypto.PublicKey) bool }); !ok || !key.Equal(pub) {
		return nil, errors.New("the certificate is for another endorsement key")
	}
	return cert, nil
}
