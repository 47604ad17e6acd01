package state

import (
	"sync/atomic"

	"ashlar/replica/state/merkle"
)

// Code is a module as uploaded, with the number of its users.
type Code struct {
	text  *text // in all versions the same
	users int

	sum    merkle.Sum
	summed bool
}

// text is a module's bytes. They may move, as pages do: what they say is the same.
type text struct{ at atomic.Pointer[Placed] }

// Placed are bytes that lie where Keep keeps them. Who holds on to the bytes alone
// does not: they are to be used soon, or copied.
type Placed struct {
	Bytes []byte
	Keep  any // nil: the Go heap
}

func newCode(code []byte) *Code {
	c := &Code{text: &text{}}
	c.text.at.Store(&Placed{Bytes: code})
	return c
}

func (c *Code) bytes() []byte { return c.text.at.Load().Bytes }

func (c *Code) total() merkle.Sum {
	if !c.summed {
		c.sum, c.summed = merkle.SumValue(c.bytes()), true
	}
	return c.sum
}

// SettleCodes lets modules on the Go heap lie where place says, nil: they stay. So
// they do in all versions of the state that have them.
func (s *State) SettleCodes(place func(hash [32]byte, code []byte) *Placed) {
	s.codes.Each(func(key string, c *Code) bool {
		if now := c.text.at.Load(); now.Keep == nil {
			if p := place([32]byte([]byte(key)), now.Bytes); p != nil {
				c.text.at.Store(p)
			}
		}
		return true
	})
}

// CodeOf tells which module an entry of the store is, if it is one.
func CodeOf(key string) (hash [32]byte, ok bool) {
	if len(key) != len(keyCode)+len(hash) || key[:len(keyCode)] != keyCode {
		return hash, false
	}
	return [32]byte([]byte(key[len(keyCode):])), true
}
