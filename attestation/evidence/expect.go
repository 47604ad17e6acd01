package evidence

// An Expectation is what a machine that runs one release has measured. attestation/measure makes it from a bundle's manifest.
type Expectation struct {
	Version     string
	Application Digest   // Authenticode hash of the UKI: the one program that the firmware starts
	PCR4        []Digest // after 0, 1, 2, ... failed boot options
	PCR7        Digest
	PCR11       Digest
	PCR13       Digest
}

// A Challenge is a credential that only the TPM with this EK can open, and only if it holds this AK: TPM2_ActivateCredential.
type Challenge struct {
	Credential []byte `json:"credential"` // TPMS_ID_OBJECT
	Secret     []byte `json:"secret"`     // TPMS_ENCRYPTED_SECRET
}

// An Answer opens a Challenge.
type Answer struct {
	Secret []byte `json:"secret"`
}
