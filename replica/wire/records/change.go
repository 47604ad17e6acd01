package records

// MutationType says what a mutation expects and does.
type MutationType int32

// The types.
const (
	Insert MutationType = 0 // there is no such record
	Update MutationType = 1 // there is one
	Delete MutationType = 2
	Upsert MutationType = 4 // either
)

// Mutation of one key.
type Mutation struct {
	Type  MutationType
	Key   []byte
	Value []byte
	Unknown
}

func (m *Mutation) fields(c *coder) {
	enum(c, 1, &m.Type)
	c.bytes(2, &m.Key)
	c.bytes(3, &m.Value)
}

// Precondition holds if the key was last changed in this version.
type Precondition struct {
	Key     []byte
	Version uint64
	Unknown
}

func (p *Precondition) fields(c *coder) {
	c.bytes(1, &p.Key)
	c.uint64(2, &p.Version)
}

// Mutations is RegistryAtomicMutateRequest, in the form that newer registries
// certify (HighCapacityRegistryAtomicMutateRequest): all are done, in one version,
// or none.
type Mutations struct {
	Mutations     []Mutation
	Preconditions []Precondition
	Time          uint64 // ns
	Unknown
}

func (m *Mutations) fields(c *coder) {
	many(c, 1, &m.Mutations)
	many(c, 5, &m.Preconditions)
	c.uint64(6, &m.Time)
}

// Delta is RegistryDelta: all changes of one key.
type Delta struct {
	Key    []byte
	Values []Value
	Unknown
}

func (d *Delta) fields(c *coder) {
	c.bytes(1, &d.Key)
	many(c, 2, &d.Values)
}

// Value is RegistryValue: what a key held from a version on.
type Value struct {
	Value   []byte
	Version uint64
	Deleted bool
	Time    uint64 // ns
	Unknown
}

func (v *Value) fields(c *coder) {
	c.bytes(1, &v.Value)
	c.uint64(2, &v.Version)
	c.bool(3, &v.Deleted)
	c.uint64(5, &v.Time)
}

// Changes is RegistryGetChangesSinceResponse without its error.
type Changes struct {
	Version uint64
	Deltas  []Delta
	Unknown
}

func (d *Changes) fields(c *coder) {
	c.uint64(2, &d.Version)
	many(c, 3, &d.Deltas)
}

// Signed is not the IC's: one version of the registry with the signatures of those
// whom the version before names as its authority.
type Signed struct {
	Version    uint64
	Previous   []byte // hash of the chain up to the version before; none at version 1
	Mutations  []byte // Mutations, as signed
	Signatures []Signature
	Unknown
}

func (s *Signed) fields(c *coder) {
	c.uint64(1, &s.Version)
	c.bytes(2, &s.Previous)
	c.bytes(3, &s.Mutations)
	many(c, 4, &s.Signatures)
}

// Signature of one key.
type Signature struct {
	Key       []byte // Ed25519
	Signature []byte
	Unknown
}

func (s *Signature) fields(c *coder) {
	c.bytes(1, &s.Key)
	c.bytes(2, &s.Signature)
}
