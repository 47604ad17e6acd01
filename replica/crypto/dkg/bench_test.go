package dkg

import (
	"fmt"
	"testing"
)

var benchSizes = []int{4, 13, 40} // with the high threshold: 3, 9, 27

func benchDealings(b *testing.B, run func(b *testing.B, s *Session, all []*person, raw []byte)) {
	one() // tables are made once a process
	chunkTable()
	for _, n := range benchSizes {
		all := people(b, "bench", n)
		s := session(b, config(High, all, all))
		raw, err := s.Deal(stream("bench"), 0, nil)
		if err != nil {
			b.Fatal(err)
		}
		b.Run(fmt.Sprintf("n=%d", n), func(b *testing.B) {
			run(b, s, all, raw)
			b.ReportMetric(float64(len(raw)), "bytes")
		})
	}
}

func BenchmarkDeal(b *testing.B) {
	benchDealings(b, func(b *testing.B, s *Session, _ []*person, _ []byte) {
		random := stream("deal")
		for b.Loop() {
			if _, err := s.Deal(random, 0, nil); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// Verify is Decode, Subgroup and Proofs.
func BenchmarkVerify(b *testing.B) {
	benchDealings(b, func(b *testing.B, s *Session, _ []*person, raw []byte) {
		for b.Loop() {
			if _, err := s.Verify(0, raw); err != nil {
				b.Fatal(err)
			}
		}
	})
}

func BenchmarkVerifyDecode(b *testing.B) {
	benchDealings(b, func(b *testing.B, s *Session, _ []*person, raw []byte) {
		for b.Loop() {
			if _, err := decodeDealing(s.shape(), raw); err != nil {
				b.Fatal(err)
			}
		}
	})
}

func BenchmarkVerifySubgroup(b *testing.B) {
	benchDealings(b, func(b *testing.B, s *Session, _ []*person, raw []byte) {
		c, err := decodeDealing(s.shape(), raw)
		if err != nil {
			b.Fatal(err)
		}
		for b.Loop() {
			if !inSubgroup(newOracle("bench"), c.allG1) {
				b.Fatal("outside")
			}
		}
	})
}

func BenchmarkDecrypt(b *testing.B) {
	benchDealings(b, func(b *testing.B, s *Session, all []*person, raw []byte) {
		t := &Transcript{header: s.header}
		for b.Loop() {
			if _, err := t.decrypt(stream("decrypt"), raw, 0, all[0].key, nil, false); err != nil {
				b.Fatal(err)
			}
		}
	})
}

func BenchmarkCombine(b *testing.B) {
	benchDealings(b, func(b *testing.B, s *Session, _ []*person, _ []byte) {
		var dealings []*Dealing
		for i := range s.Needed() {
			raw, err := s.Deal(stream("combine"), i, nil)
			if err != nil {
				b.Fatal(err)
			}
			d, err := s.Verify(i, raw)
			if err != nil {
				b.Fatal(err)
			}
			dealings = append(dealings, d)
		}
		for b.Loop() {
			if _, err := s.Combine(dealings); err != nil {
				b.Fatal(err)
			}
		}
	})
}
