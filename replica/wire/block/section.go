package block

import "fmt"

// SectionKind says what a section of a block is about.
type SectionKind uint8

// The sections. Others (streams of other subnets, answers of web servers) take the
// next numbers.
const (
	SummarySection  SectionKind = iota + 1 // opens an interval; alone in its block
	DealingsSection                        // of the keys of the next interval but one
	QueriesSection                         // what the maker answered queries with
	sectionKinds
)

// Limits of sections, in bytes.
const (
	MaxSummaryBytes  = 6 << 20   // four transcripts of 40 nodes have 3.3 MB
	MaxDealingsBytes = 512 << 10 // two of the largest: key generation has a whole interval
	MaxQueriesBytes  = 8 << 10   // MaxQueried canisters of 70 bytes
	MaxSectionsBytes = MaxSummaryBytes + MaxDealingsBytes + MaxQueriesBytes
)

var sectionLimits = [sectionKinds]int{SummarySection: MaxSummaryBytes, DealingsSection: MaxDealingsBytes, QueriesSection: MaxQueriesBytes}

// Section is a part of a block's payload besides the users' messages.
type Section struct {
	Kind SectionKind
	Data []byte
}

func (r *reader) sections() (out []Section) {
	count := r.uint()
	if count >= uint64(sectionKinds) {
		r.fail(fmt.Errorf("%d sections, there are %d kinds", count, sectionKinds-1))
	}
	for range count {
		k := SectionKind(r.byte())
		if r.err == nil && (k == 0 || k >= sectionKinds || len(out) > 0 && out[len(out)-1].Kind >= k) {
			r.fail(fmt.Errorf("a section of kind %d, which is unknown or out of order", k))
		}
		if r.err != nil {
			return nil
		}
		out = append(out, Section{k, r.blob(sectionLimits[k])})
	}
	return out
}
