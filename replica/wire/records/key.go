package records

// Algorithm that a key is for.
type Algorithm int32

// The algorithms that are used.
const (
	MultiBLS     Algorithm = 1 // signatures that many nodes aggregate
	ThresholdBLS Algorithm = 2 // a subnet's key
	Ed25519      Algorithm = 7
	Groth20      Algorithm = 9 // what dealers encrypt shares to
)

// PublicKey is a key of a node or a subnet.
type PublicKey struct {
	Version   uint32
	Algorithm Algorithm
	Key       []byte
	Proof     []byte  // of possession; nil: none
	Timestamp *uint64 // ms since 1970
	Unknown
}

func (k *PublicKey) fields(c *coder) {
	c.uint32(1, &k.Version)
	enum(c, 2, &k.Algorithm)
	c.bytes(3, &k.Key)
	c.wrappedBytes(4, &k.Proof)
	c.wrappedUint64(5, &k.Timestamp)
}
