package images

import (
	"ashlar/attestation/measure"
	"ashlar/image/bundle"
	"ashlar/image/varstore"
)

// measure predicts what a machine that boots this release has in its TPM.
func (b *Builder) measure(r *Release) (bundle.Measurements, error) {
	host, err := measure.Host(r.Host.UKI, varstore.Keys{PK: b.Keys.PK.Cert, KEK: b.Keys.KEK.Cert, DB: b.Keys.DB.Cert})
	return bundle.Measurements{Host: host, Guest: measure.Guest(r.Guest.UKI)}, err
}
