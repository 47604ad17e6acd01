// Package sbom writes a software bill of materials: SPDX 2.3 as JSON.
//
//	Debian pins used ─┐
//	Go modules linked ┼──> Document ──> image.spdx.json   (the same bytes each time)
//	our own version ──┘
//
// Names, versions and hashes come from the pins and from the module lists that
// the Go linker wrote into the binaries: what is in the image, not what is in go.mod.
package sbom

import (
	"crypto/sha256"
	"debug/buildinfo"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/url"
	"sort"
	"strings"

	"ashlar/build/pins"
)

// Package is one thing inside an image.
type Package struct {
	Name    string
	Version string
	PURL    string // the package URL that scanners understand
	SHA256  string // of the file it came as; "" if it has none
	License string // an SPDX expression; "" is unknown to us
}

// Debian lists pinned packages.
func Debian(used []pins.Pin) []Package {
	var out []Package
	for _, p := range used {
		out = append(out, Package{p.Package, p.Version,
			fmt.Sprintf("pkg:deb/debian/%s@%s?arch=%s&distro=bookworm", p.Package, url.QueryEscape(p.Version), p.Arch), p.SHA256, ""})
	}
	return out
}

// Go lists the modules and the toolchain of Go binaries.
func Go(binaries []string) ([]Package, error) {
	seen := map[string]Package{}
	for _, file := range binaries {
		info, err := buildinfo.ReadFile(file)
		if err != nil {
			return nil, fmt.Errorf("read the module list of %s: %w", file, err)
		}
		version := strings.TrimPrefix(info.GoVersion, "go")
		seen["go"] = Package{"go", version, "pkg:golang/stdlib@" + version, "", "BSD-3-Clause"}
		for _, m := range info.Deps {
			if m.Replace != nil {
				m = m.Replace
			}
			seen[m.Path] = Package{m.Path, m.Version, "pkg:golang/" + m.Path + "@" + m.Version, sumOf(m.Sum), ""}
		}
	}
	var out []Package
	for _, p := range seen {
		out = append(out, p)
	}
	return out, nil
}

// sumOf turns go.sum's h1: hash, a SHA-256 of the module's file list, into hex.
func sumOf(h1 string) string {
	b, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(h1, "h1:"))
	if err != nil || len(b) != sha256.Size {
		return ""
	}
	return hex.EncodeToString(b)
}

// Document is the bill of one image.
func Document(image, version string, packages []Package) ([]byte, error) {
	packages = append([]Package(nil), packages...)
	sort.Slice(packages, func(i, j int) bool { return packages[i].PURL < packages[j].PURL })
	doc := document{
		SPDXVersion: "SPDX-2.3", DataLicense: "CC0-1.0", SPDXID: "SPDXRef-DOCUMENT", Name: "ashlar-" + image + "-" + version,
		CreationInfo: creation{Created: "1970-01-01T00:00:00Z", Creators: []string{"Tool: ashlar-mk"}}, // fixed: the same tree gives the same bytes
	}
	root := pkg{SPDXID: "SPDXRef-image", Name: "ashlar-" + image, VersionInfo: version, DownloadLocation: none, LicenseConcluded: "Apache-2.0", LicenseDeclared: "Apache-2.0", CopyrightText: none}
	doc.Packages = []pkg{root}
	doc.Relationships = []relationship{{doc.SPDXID, "DESCRIBES", root.SPDXID}}
	digest := sha256.New()
	for i, p := range packages {
		fmt.Fprintf(digest, "%s %s\n", p.PURL, p.SHA256)
		id := fmt.Sprintf("SPDXRef-%d", i+1)
		doc.Packages = append(doc.Packages, p.spdx(id))
		doc.Relationships = append(doc.Relationships, relationship{root.SPDXID, "CONTAINS", id})
	}
	doc.Namespace = "urn:ashlar:sbom:" + image + ":" + version + ":" + hex.EncodeToString(digest.Sum(nil)[:16])
	out, err := json.MarshalIndent(doc, "", " ")
	return append(out, '\n'), err
}

const none = "NOASSERTION"

func (p Package) spdx(id string) pkg {
	license := p.License
	if license == "" {
		license = none
	}
	out := pkg{SPDXID: id, Name: p.Name, VersionInfo: p.Version, DownloadLocation: none, LicenseConcluded: license, LicenseDeclared: license, CopyrightText: none,
		ExternalRefs: []externalRef{{"PACKAGE-MANAGER", "purl", p.PURL}}}
	if p.SHA256 != "" {
		out.Checksums = []checksum{{"SHA256", p.SHA256}}
	}
	return out
}

type document struct {
	SPDXVersion   string         `json:"spdxVersion"`
	DataLicense   string         `json:"dataLicense"`
	SPDXID        string         `json:"SPDXID"`
	Name          string         `json:"name"`
	Namespace     string         `json:"documentNamespace"`
	CreationInfo  creation       `json:"creationInfo"`
	Packages      []pkg          `json:"packages"`
	Relationships []relationship `json:"relationships"`
}

type creation struct {
	Created  string   `json:"created"`
	Creators []string `json:"creators"`
}

type pkg struct {
	SPDXID           string        `json:"SPDXID"`
	Name             string        `json:"name"`
	VersionInfo      string        `json:"versionInfo"`
	DownloadLocation string        `json:"downloadLocation"`
	FilesAnalyzed    bool          `json:"filesAnalyzed"`
	LicenseConcluded string        `json:"licenseConcluded"`
	LicenseDeclared  string        `json:"licenseDeclared"`
	CopyrightText    string        `json:"copyrightText"`
	Checksums        []checksum    `json:"checksums,omitempty"`
	ExternalRefs     []externalRef `json:"externalRefs,omitempty"`
}

type checksum struct {
	Algorithm string `json:"algorithm"`
	Value     string `json:"checksumValue"`
}

type externalRef struct {
	Category string `json:"referenceCategory"`
	Type     string `json:"referenceType"`
	Locator  string `json:"referenceLocator"`
}

type relationship struct {
	From string `json:"spdxElementId"`
	Type string `json:"relationshipType"`
	To   string `json:"relatedSpdxElement"`
}
