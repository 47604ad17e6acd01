// Package version compares the versions of releases: Semantic Versioning 2.0.0, sections 2, 9, 10 and 11, without a leading v.
//
//	1.0.0-rc.1 < 1.0.0-rc.2 < 1.0.0 < 1.0.1 < 1.10.0        build metadata (+abc) is not compared
package version

import (
	"cmp"
	"fmt"
	"strconv"
	"strings"
)

const maxBytes = 64 // it stands on the kernel command line and in the slot record

// A Version is a parsed version. The zero value is 0.0.0.
type Version struct {
	number [3]uint64
	pre    []string
}

// Parse refuses all that is not a version in the spec's form.
func Parse(s string) (Version, error) {
	v, ok := parse(s)
	if !ok {
		return Version{}, fmt.Errorf("%.80q is not a version: write MAJOR.MINOR.PATCH, as in 1.4.0 or 1.5.0-rc.1", s)
	}
	return v, nil
}

func parse(s string) (v Version, ok bool) {
	if len(s) > maxBytes {
		return v, false
	}
	s, build, hasBuild := strings.Cut(s, "+")
	core, pre, hasPre := strings.Cut(s, "-")
	fields := strings.Split(core, ".")
	if len(fields) != len(v.number) {
		return v, false
	}
	for i, f := range fields {
		n, err := strconv.ParseUint(f, 10, 63)
		if err != nil || strconv.FormatUint(n, 10) != f {
			return v, false
		}
		v.number[i] = n
	}
	if hasPre {
		v.pre = strings.Split(pre, ".")
	}
	return v, words(v.pre, true) && (!hasBuild || words(strings.Split(build, "."), false))
}

// words checks dot-separated identifiers: letters, digits and hyphens; with strict, no leading zero in a number.
func words(list []string, strict bool) bool {
	for _, w := range list {
		if w == "" || strings.Trim(w, "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ-") != "" {
			return false
		}
		if strict && numeric(w) && len(w) > 1 && w[0] == '0' {
			return false
		}
	}
	return true
}

// Compare is negative if v is older than w, zero if neither is, positive if v is newer.
func (v Version) Compare(w Version) int {
	for i := range v.number {
		if c := cmp.Compare(v.number[i], w.number[i]); c != 0 {
			return c
		}
	}
	switch {
	case len(v.pre) == 0 || len(w.pre) == 0: // a release is newer than its previews
		return cmp.Compare(len(w.pre), len(v.pre))
	}
	for i := range min(len(v.pre), len(w.pre)) {
		if c := compareWord(v.pre[i], w.pre[i]); c != 0 {
			return c
		}
	}
	return cmp.Compare(len(v.pre), len(w.pre))
}

func compareWord(a, b string) int {
	na, nb := numeric(a), numeric(b)
	switch {
	case na && nb:
		return cmp.Or(cmp.Compare(len(a), len(b)), cmp.Compare(a, b)) // no leading zeros
	case na:
		return -1
	case nb:
		return 1
	}
	return cmp.Compare(a, b)
}

func numeric(s string) bool { return strings.Trim(s, "0123456789") == "" }

// Older reports whether a is older than b; both must parse.
func Older(a, b string) (bool, error) {
	va, err := Parse(a)
	if err != nil {
		return false, err
	}
	vb, err := Parse(b)
	return va.Compare(vb) < 0, err
}
