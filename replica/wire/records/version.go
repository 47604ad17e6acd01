package records

// Version is ReplicaVersionRecord: a release that subnets may run. Measurements of
// the guest (9) stay in Unknown.
type Version struct {
	SHA256Hex string // of the package
	URLs      []string
	Unknown
}

func (v *Version) fields(c *coder) {
	c.string(6, &v.SHA256Hex)
	c.strings(7, &v.URLs)
}

// Authority is not the IC's: the Ed25519 keys that sign changes of the registry, and
// how many of them must, until a canister and its votes take their place.
type Authority struct {
	Threshold uint32
	Keys      [][]byte
	Unknown
}

func (a *Authority) fields(c *coder) {
	c.uint32(1, &a.Threshold)
	c.blobs(2, &a.Keys)
}
