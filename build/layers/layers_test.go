// Package layers holds the import rules of the tree, as a test.
package layers

import (
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"strings"
	"testing"
)

const module = "ashlar/"

// may lists, for each part of the tree, the parts it may import. The longest
// matching prefix wins. A part may always import itself.
var may = map[string]string{
	"internal":             "",
	"image":                "",
	"attestation/evidence": "",
	"guestos/hostlink":     "",
	"replica/ic":           "",
	"replica/wire":         "replica/ic",
	"replica/durable":      "",
	"replica/crypto":       "replica/ic replica/durable",
	"hardware":             "internal",
	"attestation/verify":   "attestation/evidence",
	"attestation/measure":  "image attestation/evidence",
	"attestation/collect":  "attestation/evidence hardware",
	"attestation/handover": "attestation",
	"replica/state":        "replica/ic replica/wire replica/crypto",
	"replica/consensus":    "replica/ic replica/wire replica/crypto",
	"replica/ingress":      "replica/ic replica/wire replica/crypto",
	"replica/messaging":    "replica/ic replica/wire replica/crypto replica/state replica/ingress replica/execution",
	"replica/execution":    "replica/ic replica/wire replica/crypto replica/state",
	"replica/engine":       "replica/ic replica/state replica/execution",
	"replica/p2p":          "replica/ic replica/wire replica/crypto",
	"replica/api":          "replica/ic replica/wire replica/crypto",
	"replica/registry":     "replica/ic replica/wire replica/crypto replica/durable",
	"replica/agent":        "replica/ic replica/wire replica/crypto",
	"replica/gateway":      "replica/ic replica/wire replica/crypto replica/agent replica/api/body",
	"replica/store":        "replica/ic replica/wire replica/state",
	"replica/sdk":          "replica/ic replica/wire",
	"replica/node":         "replica/ic replica/wire replica/crypto replica/state replica/consensus replica/ingress replica/messaging replica/execution",
	"replica/sim":          "replica/node replica/store replica/ic replica/wire replica/crypto replica/state replica/consensus replica/ingress replica/messaging replica/execution replica/engine replica/spectest/script",
	"replica/nns":          "replica/ic replica/wire replica/sdk",
	"replica/spectest":     "replica/ic replica/wire replica/agent",
	"replica/cmd":          "replica",
	"initramfs":            "internal image hardware attestation",
	"guestos":              "internal image hardware attestation replica/ic replica/wire replica/registry",
	"hostos":               "internal image hardware attestation guestos/hostlink replica/ic replica/wire replica/agent",
	"qemu-tests/lab":       "image",
	"build":                "image initramfs/pack attestation/measure replica/sdk/link qemu-tests/lab",
	"qemu-tests":           "replica/agent replica/spectest replica/ic attestation/verify image hostos/config",

	"replica/crypto/usersig": "replica/ic replica/wire replica/crypto/eddsa", // a canister signature is a certificate
}

// pure packages get the time, randomness and bytes as arguments.
var pure = []string{"replica/consensus", "replica/ingress", "replica/messaging", "replica/execution", "replica/state", "replica/wire", "attestation/verify"}
var impure = " time os net os/exec math/rand math/rand/v2 crypto/rand sync syscall "

func part(p string) string {
	best := ""
	for k := range may {
		if (p == k || strings.HasPrefix(p, k+"/")) && len(k) > len(best) {
			best = k
		}
	}
	return best
}

func under(p, k string) bool { return p == k || strings.HasPrefix(p, k+"/") }

func TestImports(t *testing.T) {
	for _, target := range []string{"linux/amd64", "wasip1/wasm"} {
		t.Run(target, func(t *testing.T) { check(t, target) })
	}
}

func check(t *testing.T, target string) {
	goos, goarch, _ := strings.Cut(target, "/")
	cmd := exec.Command("go", "list", "-e", "-json=ImportPath,Imports", module+"...")
	cmd.Env = append(os.Environ(), "GOOS="+goos, "GOARCH="+goarch)
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	for d := json.NewDecoder(strings.NewReader(string(out))); ; {
		var pkg struct {
			ImportPath string
			Imports    []string
		}
		if err := d.Decode(&pkg); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		from := strings.TrimPrefix(pkg.ImportPath, module)
		k := part(from)
		if k == "" {
			t.Errorf("%s has no layer: add it to the table in this test", from)
		}
		for _, imp := range pkg.Imports {
			to, ours := strings.CutPrefix(imp, module)
			if !ours {
				for _, p := range pure {
					if under(from, p) && strings.Contains(impure, " "+imp+" ") {
						t.Errorf("%s imports %q: pass it in as an argument", from, imp)
					}
				}
				continue
			}
			ok := under(to, k)
			for _, a := range strings.Fields(may[k]) {
				ok = ok || under(to, a)
			}
			if !ok {
				t.Errorf("%s imports %s: %s may import [%s]", from, to, k, may[k])
			}
		}
	}
}
