package eddsa

import (
	"bytes"
	"crypto/ed25519"
	"fmt"
	"testing"
)

// A batch says of each what Verify says, wherever a wrong one lies, and of those on
// which libraries differ.
func TestBatch(t *testing.T) {
	type one struct{ key, message, sig []byte }
	var good []one
	for i := range byte(20) {
		key, secret := pair(i % 5) // users sign more than once
		m := fmt.Appendf(nil, "message %d", i)
		good = append(good, one{key, m, ed25519.Sign(secret, m)})
	}
	small := unhex(t, "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a")
	odd := one{small, []byte("Zcash"), append(bytes.Clone(small), make([]byte, 32)...)}
	wrong := map[string]func(o one) one{
		"another message":    func(o one) one { o.message = []byte("x"); return o },
		"another key":        func(o one) one { o.key = good[1].key; return o },
		"R changed":          func(o one) one { o.sig = bytes.Clone(o.sig); o.sig[3] ^= 1; return o },
		"s changed":          func(o one) one { o.sig = bytes.Clone(o.sig); o.sig[40] ^= 1; return o },
		"short signature":    func(o one) one { o.sig = o.sig[:63]; return o },
		"no signature":       func(o one) one { o.sig = nil; return o },
		"short key":          func(o one) one { o.key = o.key[:31]; return o },
		"key of no point":    func(o one) one { o.key = bytes.Repeat([]byte{2}, 32); return o },
		"two swapped halves": func(o one) one { o.sig = append(bytes.Clone(o.sig[32:]), o.sig[:32]...); return o },
	}
	check := func(name string, list []one) {
		t.Helper()
		var b Batch
		for _, o := range list {
			b.Add(o.key, o.message, o.sig)
		}
		got := b.Verify()
		if len(got) != len(list) || b.Len() != 0 {
			t.Fatalf("%s: %d answers for %d", name, len(got), len(list))
		}
		for i, o := range list {
			if want := Verify(o.key, o.message, o.sig); got[i] != want {
				t.Errorf("%s: number %d of %d is %v, alone %v", name, i, len(list), got[i], want)
			}
		}
	}
	for n := 1; n <= len(good); n++ {
		check("all right", good[:n])
		check("with an odd one", append([]one{odd}, good[:n]...))
		for name, f := range wrong {
			for _, at := range []int{0, n / 2, n - 1} {
				list := append([]one(nil), good[:n]...)
				list[at] = f(list[at])
				check(name, list)
			}
		}
	}
	// Errors that cancel each other in a sum do not in one with factors.
	list := append([]one(nil), good[:2]...)
	for i := range list {
		list[i].sig = bytes.Clone(list[i].sig)
	}
	list[0].sig[32]++
	list[1].sig[32]--
	check("cancelling", list)
	var none Batch
	if none.Verify() != nil {
		t.Error("an empty batch has answers")
	}
}
