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
var workstation = []string{"ashlar/hostos/cmd/nodectl", "ashlar/replica/cmd/replica", "ashlar/replica/cmd/network"}

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
	return goBuild(root, abs+"/", "", packages, extraEnv...)
}

// BinaryOf builds one Go main as the file to, with another version than its own.
func BinaryOf(root, to, version, pkg string) error {
	abs, err := filepath.Abs(to)
	if err != nil {
		return err
	}
	return goBuild(root, abs, " -X main.Version="+version, []string{pkg})
}

func goBuild(root, to, ldflags string, packages []string, extraEnv ...string) error {
	env := append(append(os.Environ(), goEnv...), extraEnv...)
	wrapper, modules, err := trimasm(root, env)
	if err != nil {
		return err
	}
	defer os.RemoveAll(filepath.Dir(wrapper))
	args := append([]string{"build", "-trimpath", "-buildvcs=false", "-ldflags=-s -w -buildid=" + ldflags, "-toolexec='" + wrapper + "'", "-o", to}, packages...)
	cmd := exec.Command("go", args...)
	cmd.Dir, cmd.Env = root, append(env, "ASHLAR_MODCACHE="+modules)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("go build %s: %w\n%s", strings.Join(packages, " "), err, out.String())
	}
	return nil
}

// trimasm builds the program that stands before the assembler, and finds the folder that it takes out of paths.
func trimasm(root string, env []string) (wrapper, modules string, err error) {
	tmp, err := os.MkdirTemp("", "ashlar-trimasm-")
	if err != nil {
		return "", "", err
	}
	wrapper = filepath.Join(tmp, "trimasm")
	if _, err := goTool(root, env, "build", "-trimpath", "-buildvcs=false", "-o", wrapper, "./build/cmd/trimasm"); err != nil {
		return "", "", err
	}
	modules, err = goTool(root, env, "env", "GOMODCACHE")
	return wrapper, strings.TrimSpace(modules), err
}

func goTool(root string, env []string, args ...string) (string, error) {
	cmd := exec.Command("go", args...)
	cmd.Dir, cmd.Env = root, env
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("go %s: %w\n%s", strings.Join(args, " "), err, stderr.String())
	}
	return string(out), nil
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
