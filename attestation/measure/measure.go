// Package measure says, offline, what an image will measure into a TPM.
//
//	PCR 4   "Calling EFI Application ...", separator, [failed options], Authenticode hash of the UKI        by the firmware
//	PCR 7   SecureBoot, PK, KEK, db, dbx, separator, the db entry that let the UKI start                    by the firmware
//	PCR 11  name and content of .linux .osrel .cmdline .initrd                                              by systemd's stub 252
//	PCR 12  digest of the configuration          PCR 13  digest of the guest's UKI                          by hostd
//
// The order is EDK2's and the stub's, seen in their event logs and pinned by a recorded one in testdata. Secure Boot is on: with
// it off the stub starts the kernel in another way, and PCR 4 and 7 differ, as they should. The other PCRs depend on the machine.
// Spec: TCG PC Client Platform Firmware Profile 1.05 sections 3.3.4 and 10.4.
package measure

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"slices"

	"ashlar/attestation/evidence"
	"ashlar/image/bundle"
	"ashlar/image/pe"
	"ashlar/image/varstore"
)

const (
	// After an upgrade whose image the firmware could not start, one option has failed; more than three is no machine of ours.
	maxFailedOptions = 3

	calling   = "Calling EFI Application from Boot Option"
	returning = "Returning from EFI Application from Boot Option"

	stubSection = ".sdmagic"
	stubMark    = "LoaderInfo: systemd-stub 252"
)

// separator is EV_SEPARATOR of a firmware that has no error to report.
var separator = sum([]byte{0, 0, 0, 0})

// Host predicts what a machine with these Secure Boot keys measures when it boots this signed UKI.
func Host(uki []byte, keys varstore.Keys) (bundle.HostMeasurements, error) {
	im, err := pe.Parse(uki)
	if err != nil {
		return bundle.HostMeasurements{}, fmt.Errorf("predict measurements: %w", err)
	}
	pcr11, err := sections(im)
	if err != nil {
		return bundle.HostMeasurements{}, fmt.Errorf("predict measurements: %w", err)
	}
	out := bundle.HostMeasurements{Authenticode: im.Digest(), PCR7: bundle.Digest(secureBoot(keys)), PCR11: bundle.Digest(pcr11)}
	for failed := range maxFailedOptions + 1 {
		out.PCR4 = append(out.PCR4, bundle.Digest(application(im.Digest(), failed)))
	}
	return out, nil
}

// Guest is what hostd measures of this guest UKI.
func Guest(uki []byte) bundle.GuestMeasurements {
	d := sum(uki)
	return bundle.GuestMeasurements{UKI: bundle.Digest(d), PCR13: bundle.Digest(evidence.Extended(d))}
}

// Config is PCR 12 for a configuration with this digest.
func Config(digest evidence.Digest) evidence.Digest { return evidence.Extended(digest) }

// Expect is what a checker compares with, from the manifest of a bundle whose signature was found good.
func Expect(m bundle.Manifest) evidence.Expectation {
	h := m.Measurements.Host
	out := evidence.Expectation{
		Version:     m.Version,
		Application: evidence.Digest(h.Authenticode),
		PCR7:        evidence.Digest(h.PCR7),
		PCR11:       evidence.Digest(h.PCR11),
		PCR13:       evidence.Digest(m.Measurements.Guest.PCR13),
	}
	for _, d := range h.PCR4 {
		out.PCR4 = append(out.PCR4, evidence.Digest(d))
	}
	return out
}

// application is PCR 4. The separator comes once, with the first attempt to boot anything.
func application(authenticode [sha256.Size]byte, failed int) evidence.Digest {
	events := []evidence.Digest{sum([]byte(calling)), separator}
	for range failed {
		events = append(events, sum([]byte(returning)), sum([]byte(calling)))
	}
	return evidence.Extended(append(events, authenticode)...)
}

// secureBoot is PCR 7: what may boot, and what of it did.
func secureBoot(keys varstore.Keys) evidence.Digest {
	variable := func(vendor varstore.GUID, name string, data []byte) evidence.Digest {
		return sum(evidence.Variable{Vendor: vendor, Name: name, Data: data}.Encode())
	}
	return evidence.Extended(
		variable(varstore.Global, "SecureBoot", []byte{1}),
		variable(varstore.Global, "PK", varstore.SignatureList(keys.PK)),
		variable(varstore.Global, "KEK", varstore.SignatureList(keys.KEK)),
		variable(varstore.ImageSecurity, "db", varstore.SignatureList(keys.DB)),
		variable(varstore.ImageSecurity, "dbx", nil),
		separator,
		variable(varstore.ImageSecurity, "db", varstore.SignatureData(keys.DB)),
	)
}

// measured lists, in this order, every section that stub 252 measures if it is there.
var measured = []string{".linux", ".osrel", ".cmdline", ".initrd", ".splash", ".dtb", ".pcrpkey"}

// sections is PCR 11.
func sections(im *pe.Image) (evidence.Digest, error) {
	data := map[string][]byte{}
	for _, s := range im.Sections() {
		if data[s.Name] != nil {
			return evidence.Digest{}, fmt.Errorf("section %q is there twice", s.Name)
		}
		b, err := im.Data(s)
		if err != nil {
			return evidence.Digest{}, err
		}
		data[s.Name] = b
	}
	if !bytes.Contains(data[stubSection], []byte(stubMark)) {
		return evidence.Digest{}, fmt.Errorf("the stub is not systemd's of version 252 (section %s says %q): another stub measures other things in another order; "+
			"use the pinned one, or learn its order here and record a new log in testdata", stubSection, bytes.Trim(data[stubSection], "\x00"))
	}
	var events []evidence.Digest
	for _, name := range measured {
		if b := data[name]; len(b) > 0 {
			events = append(events, sum([]byte(name+"\x00")), sum(b))
		}
	}
	if len(events) == 0 || !slices.Contains(events, sum([]byte(".linux\x00"))) {
		return evidence.Digest{}, fmt.Errorf("there is no kernel in this image: it is no UKI")
	}
	return evidence.Extended(events...), nil
}

func sum(b []byte) evidence.Digest { return sha256.Sum256(b) }
