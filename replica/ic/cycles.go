package ic

import (
	"fmt"
	"math/big"
	"math/bits"
)

// Cycles is an amount of cycles, 128 bits unsigned. The zero value is none.
type Cycles struct{ Hi, Lo uint64 }

// NewCycles is n cycles.
func NewCycles(n uint64) Cycles { return Cycles{Lo: n} }

// Add saturates at 2^128-1.
func (c Cycles) Add(d Cycles) Cycles {
	lo, carry := bits.Add64(c.Lo, d.Lo, 0)
	hi, over := bits.Add64(c.Hi, d.Hi, carry)
	if over != 0 {
		return Cycles{^uint64(0), ^uint64(0)}
	}
	return Cycles{hi, lo}
}

// Sub is c-d and whether c >= d; where it is not, the difference is zero.
func (c Cycles) Sub(d Cycles) (Cycles, bool) {
	lo, borrow := bits.Sub64(c.Lo, d.Lo, 0)
	hi, under := bits.Sub64(c.Hi, d.Hi, borrow)
	if under != 0 {
		return Cycles{}, false
	}
	return Cycles{hi, lo}, true
}

// Mul saturates at 2^128-1.
func (c Cycles) Mul(n uint64) Cycles {
	hi, lo := bits.Mul64(c.Lo, n)
	over, hi2 := bits.Mul64(c.Hi, n)
	sum, carry := bits.Add64(hi, hi2, 0)
	if over != 0 || carry != 0 {
		return Cycles{^uint64(0), ^uint64(0)}
	}
	return Cycles{sum, lo}
}

// Div rounds down; n is not zero.
func (c Cycles) Div(n uint64) Cycles {
	hi, rem := c.Hi/n, c.Hi%n
	lo, _ := bits.Div64(rem, c.Lo, n)
	return Cycles{hi, lo}
}

// Cmp is -1, 0 or 1.
func (c Cycles) Cmp(d Cycles) int {
	switch {
	case c == d:
		return 0
	case c.Hi < d.Hi || c.Hi == d.Hi && c.Lo < d.Lo:
		return -1
	}
	return 1
}

// Less tells whether c < d.
func (c Cycles) Less(d Cycles) bool { return c.Cmp(d) < 0 }

// IsZero tells whether there are none.
func (c Cycles) IsZero() bool { return c == Cycles{} }

// Big is c as a big integer.
func (c Cycles) Big() *big.Int {
	b := new(big.Int).SetUint64(c.Hi)
	return b.Lsh(b, 64).Or(b, new(big.Int).SetUint64(c.Lo))
}

// CyclesFromBig refuses negative numbers and those of more than 128 bits.
func CyclesFromBig(b *big.Int) (Cycles, error) {
	if b.Sign() < 0 || b.BitLen() > 128 {
		return Cycles{}, fmt.Errorf("%s is not an amount of cycles: it must lie in 0..2^128-1", b)
	}
	lo := new(big.Int).And(b, new(big.Int).SetUint64(^uint64(0)))
	return Cycles{new(big.Int).Rsh(b, 64).Uint64(), lo.Uint64()}, nil
}

// String is the decimal form.
func (c Cycles) String() string { return c.Big().String() }
