package verify

import (
	"errors"
	"fmt"
	"slices"

	"ashlar/attestation/evidence"
)

// logged are the PCRs that only firmware, stub and the kernel's EFI stub extend: the log must account for them whole.
var logged = []int{0, 1, 2, 3, 4, 5, 6, 7, 9, 11}

// value is a quoted PCR. A value that was not given is no zero.
func (f *facts) value(pcr int) (evidence.Digest, error) {
	v, ok := f.e.PCRs[pcr]
	if !ok {
		return v, fmt.Errorf("no value is given for PCR %d", pcr)
	}
	return v, nil
}

func (f *facts) replay() (string, error) {
	if f.logErr != nil {
		return "", f.logErr
	}
	got := f.log.Replay()
	for _, i := range logged {
		v, err := f.value(i)
		if err != nil {
			return "", err
		}
		if got[i] != v {
			return "", fmt.Errorf("the log gives PCR %d as %s, and the TPM signed %s: the log was changed, or is not whole", i, got[i], v)
		}
	}
	return fmt.Sprintf("%d events, which give PCRs %v", len(f.log.Events), logged), nil
}

// secureBoot: the firmware said, before anything ran, that it enforces signatures.
func (f *facts) secureBoot() (string, error) {
	if f.logErr != nil {
		return "", f.logErr
	}
	for _, e := range f.log.Of(evidence.PCRKeys) {
		if e.Type == evidence.EventSeparator {
			break
		}
		if e.Type != evidence.EventVariableConfig {
			continue
		}
		v, err := e.Variable()
		if err != nil {
			return "", err
		}
		if v.Name != "SecureBoot" {
			continue
		}
		if len(v.Data) != 1 || v.Data[0] != 1 {
			return "", errors.New("the firmware does not enforce Secure Boot: enrol the release's keys and switch it on")
		}
		return "enforced by the firmware", nil
	}
	return "", errors.New("the log does not say that Secure Boot is enforced")
}

// application: the firmware started one program, and it is the release's UKI.
func (f *facts) application() (string, error) {
	if f.logErr != nil {
		return "", f.logErr
	}
	var ran []evidence.Digest
	for _, e := range f.log.Of(evidence.PCRBoot) {
		switch e.Type {
		case evidence.EventBootApplication:
			ran = append(ran, e.Digest)
		case evidence.EventAction, evidence.EventSeparator:
		default:
			return "", fmt.Errorf("PCR 4 holds an event of type %#x", e.Type)
		}
	}
	want := f.p.Expect.Application
	if want == (evidence.Digest{}) || len(ran) != 1 || ran[0] != want {
		return "", fmt.Errorf("the firmware started %v, and the release's image is %s", ran, want)
	}
	return "the release's image, and nothing else", nil
}

func (f *facts) pcr4() (string, error) {
	v, err := f.value(evidence.PCRBoot)
	if err != nil {
		return "", err
	}
	switch i := slices.Index(f.p.Expect.PCR4, v); {
	case i < 0:
		return "", fmt.Errorf("%s is not one of the %d predicted values", v, len(f.p.Expect.PCR4))
	case i > 0:
		return fmt.Sprintf("%s, as predicted after %d failed boot options", v, i), nil
	}
	return v.String() + ", as predicted", nil
}

func (f *facts) pcr7() (string, error)  { return f.equals(evidence.PCRKeys, f.p.Expect.PCR7) }
func (f *facts) pcr11() (string, error) { return f.equals(evidence.PCRImage, f.p.Expect.PCR11) }

func (f *facts) equals(pcr int, want evidence.Digest) (string, error) {
	v, err := f.value(pcr)
	switch {
	case err != nil:
		return "", err
	case want == (evidence.Digest{}):
		return "", errors.New("the policy predicts no value")
	case v != want:
		return "", fmt.Errorf("%s, and %s was predicted", v, want)
	}
	return v.String() + ", as predicted", nil
}

func (f *facts) pcr12() (string, error) {
	claimed := f.e.Claims.Config
	if _, err := f.equals(evidence.PCRConfig, evidence.Extended(claimed)); err != nil {
		return "", fmt.Errorf("the claimed configuration %s is not the measured one: %w", claimed, err)
	}
	if f.p.Config == nil {
		return "configuration " + claimed.String() + "; the policy does not say which it should be", nil
	}
	if claimed != *f.p.Config {
		return "", fmt.Errorf("configuration %s, and the policy wants %s", claimed, *f.p.Config)
	}
	return "configuration " + claimed.String() + ", as wanted", nil
}

func (f *facts) pcr13() (string, error) {
	if evidence.Extended(f.e.Claims.GuestUKI) != f.p.Expect.PCR13 {
		return "", fmt.Errorf("the machine claims guest %s, which is not the release's", f.e.Claims.GuestUKI)
	}
	return f.equals(evidence.PCRGuest, f.p.Expect.PCR13)
}

// unused: nothing of ours extends 14 and 15. A value there is something that we do not know.
func (f *facts) unused() (string, error) {
	for _, i := range []int{14, 15} {
		v, err := f.value(i)
		if err != nil {
			return "", err
		}
		if v != (evidence.Digest{}) {
			return "", fmt.Errorf("PCR %d is %s: something measured into it, and no release does", i, v)
		}
	}
	return "empty", nil
}

func (f *facts) release() (string, error) {
	if f.e.Claims.Version != f.p.Expect.Version || f.p.Expect.Version == "" {
		return "", fmt.Errorf("the machine claims release %q, and the policy is for %q", f.e.Claims.Version, f.p.Expect.Version)
	}
	return f.e.Claims.Version, nil
}
