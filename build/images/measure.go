package images

import "ashlar/image/bundle"

func (b *Builder) measure(r *Release) (bundle.Measurements, error) {
	return bundle.Measurements{Host: bundle.HostMeasurements{PCR4: []bundle.Digest{{}}}}, nil
}
