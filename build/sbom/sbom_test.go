package sbom

import (
	"bytes"
	"encoding/json"
	"os"
	"slices"
	"strings"
	"testing"

	"ashlar/build/pins"
)

func TestTheOrderOfTheInputDoesNotShow(t *testing.T) {
	used := []pins.Pin{{Set: "vmm", Package: "a", Version: "1:2+b", Arch: "amd64", SHA256: strings.Repeat("ab", 32)}, {Set: "vmm", Package: "b", Version: "1", Arch: "all", SHA256: strings.Repeat("cd", 32)}}
	one, err := Document("hostos", "0.1.0", Debian(used))
	if err != nil {
		t.Fatal(err)
	}
	slices.Reverse(used)
	two, _ := Document("hostos", "0.1.0", Debian(used))
	if !bytes.Equal(one, two) {
		t.Error("the bill depends on the order of its input")
	}
	other, _ := Document("hostos", "0.1.0", Debian(used[:1]))
	var a, b document
	if json.Unmarshal(one, &a) != nil || json.Unmarshal(other, &b) != nil || a.Namespace == b.Namespace {
		t.Error("two bills with other content have one name")
	}
	if a.Packages[1].ExternalRefs[0].Locator != "pkg:deb/debian/a@1%3A2%2Bb?arch=amd64&distro=bookworm" {
		t.Errorf("package URL %s", a.Packages[1].ExternalRefs[0].Locator)
	}
}

func TestGoListsWhatIsLinked(t *testing.T) {
	self, err := os.Executable() // this test: linked with the standard library and our module alone
	if err != nil {
		t.Fatal(err)
	}
	got, err := Go([]string{self})
	if err != nil {
		t.Fatal(err)
	}
	if !slices.ContainsFunc(got, func(p Package) bool { return p.Name == "go" && p.Version != "" }) {
		t.Errorf("the toolchain is missing in %v", got)
	}
	if _, err := Go([]string{"/dev/null"}); err == nil {
		t.Error("an empty file has a module list")
	}
}
