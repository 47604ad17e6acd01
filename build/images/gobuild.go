package images

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"ashlar/image/recipe"
)

// workstation lists the mains that run outside of the images as well.
var workstation = []string{"ashlar/hostos/cmd/nodectl", "ashlar/replica/cmd/replica"}

// goEnv makes a binary depend on the sources alone: no cgo, no CPU of this
// machine, no settings of this user.
var goEnv = []string{"CGO_ENABLED=0", "GOOS=linux", "GOARCH=amd64", "GOAMD64=v2", "GOFLAGS=", "GOEXPERIMENT=", "GOWORK=off", "GOFIPS140=off", "GODEBUG="}

// Binaries builds Go mains into dir, each named like its folder. All images and
// the workstation use the same files.
func Binaries(root, dir string, packages []string, extraEnv ...string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	abs, err := filepath.Abs(dir)
	if err != nil {
		return err
	}
	names := map[string]string{}
	for _, p := range packages {
		if other, taken := names[path.Base(p)]; taken && other != p {
			return fmt.Errorf("%s and %s would both be called %s: rename one", other, p, path.Base(p))
		}
		names[path.Base(p)] = p
	}
	args := append([]string{"build", "-trimpath", "-buildvcs=false", "-ldflags=-s -w -buildid=", "-o", abs + "/"}, packages...)
	cmd := exec.Command("go", args...)
	cmd.Dir = root
	cmd.Env = append(append(os.Environ(), goEnv...), extraEnv...)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("go build %s: %w\n%s", strings.Join(packages, " "), err, out.String())
	}
	return nil
}

// Mains lists every main package that an image holds or a person needs.
func Mains(root string) ([]string, error) {
	b := &Builder{Root: root}
	recipes, err := b.recipes()
	if err != nil {
		return nil, err
	}
	return mains(recipes["host"], recipes["guest"]), nil
}

func mains(recipes ...*recipe.Recipe) []string {
	out := slices.Clone(workstation)
	for _, r := range recipes {
		for _, g := range append(slices.Clone(r.Initramfs.Go), r.Root.Go...) {
			out = append(out, g.Package)
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}
