package tpm

import (
	"errors"
	"fmt"

	"github.com/google/go-tpm/tpm2"
	"github.com/google/go-tpm/tpm2/transport"
)

// akTemplate is part of a machine's identity: another template is another key, and every machine would need enrolling anew.
var akTemplate = tpm2.TPMTPublic{
	Type:    tpm2.TPMAlgECC,
	NameAlg: tpm2.TPMAlgSHA256,
	ObjectAttributes: tpm2.TPMAObject{
		FixedTPM:            true,
		FixedParent:         true,
		SensitiveDataOrigin: true,
		UserWithAuth:        true,
		NoDA:                true, // its empty password cannot be guessed wrong, and must not be locked out
		Restricted:          true,
		SignEncrypt:         true,
	},
	Parameters: tpm2.NewTPMUPublicParms(tpm2.TPMAlgECC, &tpm2.TPMSECCParms{
		Scheme: tpm2.TPMTECCScheme{
			Scheme:  tpm2.TPMAlgECDSA,
			Details: tpm2.NewTPMUAsymScheme(tpm2.TPMAlgECDSA, &tpm2.TPMSSigSchemeECDSA{HashAlg: tpm2.TPMAlgSHA256}),
		},
		CurveID: tpm2.TPMECCNistP256,
	}),
	// The unique field goes into the derivation: it keeps this key apart from others made of the same template.
	Unique: tpm2.NewTPMUPublicID(tpm2.TPMAlgECC, &tpm2.TPMSECCPoint{
		X: tpm2.TPM2BECCParameter{Buffer: []byte("ashlar attestation key v1")},
	}),
}

// A key is a loaded primary key.
type key struct {
	handle tpm2.TPMHandle
	name   tpm2.TPM2BName
	public []byte // TPMT_PUBLIC
}

func (d *Device) create(template tpm2.TPMTPublic) (key, error) {
	rsp, err := tpm2.CreatePrimary{
		PrimaryHandle: tpm2.AuthHandle{Handle: tpm2.TPMRHEndorsement, Auth: tpm2.PasswordAuth(nil)},
		InPublic:      tpm2.New2B(template),
	}.Execute(d.t)
	if err != nil {
		return key{}, err
	}
	public, err := rsp.OutPublic.Contents()
	if err != nil {
		d.flush(rsp.ObjectHandle)
		return key{}, err
	}
	return key{rsp.ObjectHandle, rsp.Name, tpm2.Marshal(public)}, nil
}

// flush gives the TPM's few slots back. A failure has no remedy here, and the next create says that there is no room.
func (d *Device) flush(h tpm2.TPMHandle) { tpm2.FlushContext{FlushHandle: h}.Execute(d.t) }

func (d *Device) ek() (key, error) {
	k, err := d.create(tpm2.ECCEKTemplate)
	if err != nil {
		return key{}, fmt.Errorf("derive the TPM's endorsement key: %w", err)
	}
	return k, nil
}

func (d *Device) ak() (key, error) {
	k, err := d.create(akTemplate)
	if err != nil {
		return key{}, fmt.Errorf("derive the TPM's attestation key: %w", err)
	}
	return k, nil
}

// Identity names the machine. The keys are TPMT_PUBLIC; EKCert is empty where the maker stored none.
type Identity struct{ EK, EKCert, AK []byte }

// Identity derives the public keys.
func (d *Device) Identity() (Identity, error) {
	ek, err := d.ek()
	if err != nil {
		return Identity{}, err
	}
	d.flush(ek.handle)
	ak, err := d.ak()
	if err != nil {
		return Identity{}, err
	}
	d.flush(ak.handle)
	cert, err := d.ekCert()
	return Identity{EK: ek.public, EKCert: cert, AK: ak.public}, err
}

// ekCert reads the maker's certificate from its NV index. That there is none is no error.
func (d *Device) ekCert() ([]byte, error) {
	index, err := tpm2.NVReadPublic{NVIndex: ekCertP256}.Execute(d.t)
	if errors.Is(err, tpm2.TPMRCHandle) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read the EK's certificate: %w", err)
	}
	public, err := index.NVPublic.Contents()
	if err != nil {
		return nil, fmt.Errorf("read the EK's certificate: %w", err)
	}
	if public.DataSize > maxCertBytes {
		return nil, fmt.Errorf("read the EK's certificate: %d bytes, more than %d", public.DataSize, maxCertBytes)
	}
	var out []byte
	for size := int(public.DataSize); len(out) < size; {
		rsp, err := tpm2.NVRead{
			AuthHandle: tpm2.AuthHandle{Handle: tpm2.TPMRHOwner, Auth: tpm2.PasswordAuth(nil)},
			NVIndex:    tpm2.NamedHandle{Handle: ekCertP256, Name: index.NVName},
			Size:       uint16(min(maxNVChunk, size-len(out))),
			Offset:     uint16(len(out)),
		}.Execute(d.t)
		if err != nil {
			return nil, fmt.Errorf("read the EK's certificate: %w", err)
		}
		if len(rsp.Data.Buffer) == 0 {
			return nil, errors.New("read the EK's certificate: the TPM gives no bytes")
		}
		out = append(out, rsp.Data.Buffer...)
	}
	return out, nil
}

// A Quote is a TPMS_ATTEST and the AK's TPMT_SIGNATURE of it.
type Quote struct{ Attest, Signature []byte }

// Quote signs the values of PCRs, with the nonce.
func (d *Device) Quote(nonce []byte, pcrs []int) (Quote, error) {
	ak, err := d.ak()
	if err != nil {
		return Quote{}, err
	}
	defer d.flush(ak.handle)
	rsp, err := tpm2.Quote{
		SignHandle:     tpm2.AuthHandle{Handle: ak.handle, Name: ak.name, Auth: tpm2.PasswordAuth(nil)},
		QualifyingData: tpm2.TPM2BData{Buffer: nonce},
		InScheme:       tpm2.TPMTSigScheme{Scheme: tpm2.TPMAlgNull},
		PCRSelect:      selection(pcrs),
	}.Execute(d.t)
	if err != nil {
		return Quote{}, fmt.Errorf("quote PCRs %v: %w", pcrs, err)
	}
	return Quote{Attest: rsp.Quoted.Bytes(), Signature: tpm2.Marshal(rsp.Signature)}, nil
}

// Activate opens a credential that was made for this TPM's EK and AK. That it can is the proof that both are in one TPM.
func (d *Device) Activate(credential, encryptedSecret []byte) ([]byte, error) {
	ak, err := d.ak()
	if err != nil {
		return nil, err
	}
	defer d.flush(ak.handle)
	ek, err := d.ek()
	if err != nil {
		return nil, err
	}
	defer d.flush(ek.handle)
	rsp, err := tpm2.ActivateCredential{
		ActivateHandle: tpm2.AuthHandle{Handle: ak.handle, Name: ak.name, Auth: tpm2.PasswordAuth(nil)},
		KeyHandle:      tpm2.AuthHandle{Handle: ek.handle, Name: ek.name, Auth: tpm2.Policy(tpm2.TPMAlgSHA256, 16, endorsementPolicy)},
		CredentialBlob: tpm2.TPM2BIDObject{Buffer: credential},
		Secret:         tpm2.TPM2BEncryptedSecret{Buffer: encryptedSecret},
	}.Execute(d.t)
	if err != nil {
		return nil, fmt.Errorf("open the credential: %w: it was made for another machine, or was changed", err)
	}
	return rsp.CertInfo.Buffer, nil
}

// endorsementPolicy is the policy of TCG's EK template: knowing the endorsement hierarchy's (empty) password.
func endorsementPolicy(t transport.TPM, session tpm2.TPMISHPolicy, nonce tpm2.TPM2BNonce) error {
	_, err := tpm2.PolicySecret{
		AuthHandle:    tpm2.AuthHandle{Handle: tpm2.TPMRHEndorsement, Auth: tpm2.PasswordAuth(nil)},
		PolicySession: session,
		NonceTPM:      nonce,
	}.Execute(t)
	return err
}
