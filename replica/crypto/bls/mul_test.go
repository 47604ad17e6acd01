package bls

import (
	"crypto/rand"
	"math/big"
	"testing"

	curve "github.com/consensys/gnark-crypto/ecc/bls12-381"
	"github.com/consensys/gnark-crypto/ecc/bls12-381/fr"
)

// The parts together give what the curve's own multiplication gives, at the edges of
// their halves too.
func TestMultiplySplit(t *testing.T) {
	order := fr.Modulus()
	one := big.NewInt(1)
	numbers := []*big.Int{new(big.Int), one, big.NewInt(2), big.NewInt(15), big.NewInt(16), big.NewInt(17), big.NewInt(31), big.NewInt(32),
		new(big.Int).Sub(lambda, one), lambda, new(big.Int).Add(lambda, one), new(big.Int).Mul(lambda, lambda),
		new(big.Int).Sub(order, one), new(big.Int).Sub(new(big.Int).Lsh(one, 64), one), new(big.Int).Lsh(one, 64), new(big.Int).Lsh(one, 127)}
	for range 40 {
		n, err := rand.Int(rand.Reader, order)
		if err != nil {
			t.Fatal(err)
		}
		numbers = append(numbers, n)
	}
	h := hashToCurve(signatureTag, []byte("multiply"))
	for i, a := range numbers {
		b := numbers[(i*7+3)%len(numbers)]
		sum := new(big.Int).Add(a, b)
		var want curve.G1Affine
		want.ScalarMultiplication(&h, sum.Mod(sum, order))
		if got := multiplySplit(&h, new(big.Int).Set(a), new(big.Int).Set(b)); !got.Equal(&want) {
			t.Errorf("%d and %d give another point", a, b)
		}
	}
}

// The map is what the file says: multiplication by lambda, a root of x^2+x+1.
func TestLambda(t *testing.T) {
	order := fr.Modulus()
	root := new(big.Int).Add(new(big.Int).Mul(lambda, lambda), lambda)
	if root.Add(root, big.NewInt(1)); root.Mod(root, order).Sign() != 0 {
		t.Error("lambda is no cube root of one")
	}
	h := hashToCurve(signatureTag, []byte("lambda"))
	var want curve.G1Affine
	want.ScalarMultiplication(&h, lambda)
	h.X.Mul(&h.X, &beta)
	if !h.Equal(&want) {
		t.Error("beta belongs to another root")
	}
}

// Digits are odd or zero, small, and give the number again.
func TestDigits(t *testing.T) {
	limit := new(big.Int).Lsh(big.NewInt(1), 128)
	for range 1000 {
		k, err := rand.Int(rand.Reader, new(big.Int).Sub(limit, big.NewInt(1<<window)))
		if err != nil {
			t.Fatal(err)
		}
		var d digits
		d.set(k)
		back := new(big.Int)
		for i := d.n - 1; i >= 0; i-- {
			u := d.naf[i]
			if u != 0 && u%2 == 0 || u <= -(1<<(window-1)) || u >= 1<<(window-1) {
				t.Fatalf("digit %d of %x is %d", i, k, u)
			}
			back.Lsh(back, 1).Add(back, big.NewInt(int64(u)))
		}
		if back.Cmp(k) != 0 {
			t.Fatalf("%x became %x", k, back)
		}
	}
}
