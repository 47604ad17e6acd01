package state

// Means is what canisters may take of a subnet, or have taken: memory, messages of
// guaranteed calls and custom sections in bytes, and the number of calls that are open.
type Means struct {
	Memory   uint64
	Messages uint64
	Calls    uint64
	Sections uint64
	// Reserve is the part of what is left of Memory that only callbacks may take.
	Reserve uint64
}

// InUse is what all canisters have taken.
func (h *Head) InUse() Means {
	return Means{Memory: h.Taken, Messages: h.Guaranteed, Calls: h.Open, Sections: h.Sections}
}

// SetInUse makes it what it was.
func (h *Head) SetInUse(m Means) {
	h.Taken, h.Guaranteed, h.Open, h.Sections = m.Memory, m.Messages, m.Calls, m.Sections
}

// Left of m is what was not taken since was, now that so much is in use.
func (m Means) Left(was, now Means) Means {
	left := func(free, was, now uint64) uint64 {
		grown := now - min(now, was)
		return free - min(free, grown)
	}
	return Means{left(m.Memory, was.Memory, now.Memory), left(m.Messages, was.Messages, now.Messages), left(m.Calls, was.Calls, now.Calls),
		left(m.Sections, was.Sections, now.Sections), m.Reserve}
}

// Part is one of n equal parts.
func (m Means) Part(n int) Means {
	k := uint64(n)
	return Means{m.Memory / k, m.Messages / k, m.Calls / k, m.Sections / k, m.Reserve / k}
}

// Least of both, each kind for itself.
func (m Means) Least(o Means) Means {
	return Means{min(m.Memory, o.Memory), min(m.Messages, o.Messages), min(m.Calls, o.Calls), min(m.Sections, o.Sections), min(m.Reserve, o.Reserve)}
}
