package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"ashlar/build/images"
	"ashlar/build/pins"
	"ashlar/build/progress"
	"ashlar/build/setup"
	"ashlar/image/keys"
)

func setupCommand(_ context.Context, w *workshop, args []string) error {
	purposes := args
	if len(purposes) == 0 {
		purposes = []string{"run", "test"}
	}
	return w.setup(purposes...)
}

// setup is quick and silent on a machine that has everything.
func (w *workshop) setup(purposes ...string) error {
	table, err := pins.Load()
	if err != nil {
		return err
	}
	m := setup.Machine{Root: w.root, Say: w.print.Say}
	if err := m.Packages(table, purposes...); err != nil {
		return err
	}
	if slices.Contains(purposes, "test") {
		if err := m.NPM(setup.Acceptance); err != nil {
			return err
		}
	}
	return m.NPM(setup.Clients)
}

func buildCommand(_ context.Context, w *workshop, _ []string) error {
	return w.print.Step("Go programs", func() (string, error) {
		mains, err := images.Mains(w.root)
		if err != nil {
			return "", err
		}
		return "in " + w.relative(w.out("bin")), images.Binaries(w.root, w.out("bin"), mains)
	})
}

func imageCommand(_ context.Context, w *workshop, args []string) error {
	f := flag.NewFlagSet("mk image", flag.ContinueOnError)
	version := f.String("version", "", "another version than release.txt says, as the tests of upgrades need")
	if err := f.Parse(args); err != nil {
		return err
	}
	_, err := w.image(*version)
	return err
}

// image builds with the development keys, which it makes at the first time.
func (w *workshop) image(version string) (*images.Release, error) {
	set, err := keys.Dev(filepath.Join(w.root, "keys"))
	if err != nil {
		return nil, err
	}
	dir := ""
	if version != "" {
		dir = "image-" + version
	}
	return w.imageWith(set, version, dir)
}

func (w *workshop) imageWith(set *keys.Set, version, dir string) (*images.Release, error) {
	b, err := w.builder(set)
	if err != nil {
		return nil, err
	}
	if version != "" {
		b.Version, b.Dir = version, dir
	}
	start := time.Now()
	w.print.Say("building Ashlar %s", b.Version)
	r, err := b.Build()
	if err != nil {
		return nil, err
	}
	w.print.Say("  %s: image build %s", w.relative(r.Dir), progress.Seconds(time.Since(start)))
	return r, nil
}

func (w *workshop) builder(set *keys.Set) (*images.Builder, error) {
	table, err := pins.Load()
	if err != nil {
		return nil, err
	}
	numbers, err := images.Current()
	if err != nil {
		return nil, err
	}
	return &images.Builder{Numbers: numbers, Root: w.root, Out: w.out(), Cache: w.cache(), Keys: set, Pins: table,
		Store: &pins.Store{Dir: w.cache(), Say: w.say}, Print: w.print}, nil
}

func (w *workshop) say(format string, args ...any) { w.print.Say("  "+format, args...) }

func (w *workshop) relative(path string) string {
	if rel, err := filepath.Rel(w.root, path); err == nil {
		return rel
	}
	return path
}

func releaseCommand(_ context.Context, w *workshop, args []string) error {
	f := flag.NewFlagSet("mk release", flag.ContinueOnError)
	dir := f.String("keys", os.Getenv("ASHLAR_KEYS"), "folder with PK, KEK and db (.key and .crt) and release.key")
	if err := f.Parse(args); err != nil {
		return err
	}
	if *dir == "" {
		return errors.New("a release is signed with keys that are kept elsewhere: mk release --keys DIR, or ASHLAR_KEYS=DIR make release\n  docs/releasing.md says how to make and keep them")
	}
	set, err := keys.Load(*dir)
	if err != nil {
		return err
	}
	if err := set.ForRelease(); err != nil {
		return err
	}
	if err := w.setup("run"); err != nil {
		return err
	}
	_, err = w.imageWith(set, "", "")
	return err
}

func pinsCommand(_ context.Context, w *workshop, args []string) error {
	table, err := pins.Load()
	if err != nil {
		return err
	}
	switch {
	case len(args) == 1 && args[0] == "update":
		store := &pins.Store{Dir: w.cache(), Say: w.say}
		changes, err := store.UpdateFile(w.root)
		if err != nil {
			return err
		}
		for _, c := range changes {
			w.print.Say("%s", c)
		}
		w.print.Say("%d pins changed in %s", len(changes), pins.File)
	case len(args) == 0 || args[0] == "list":
		for _, p := range table.Pins {
			w.print.Say("%-13s %-34s %-28s %s", p.Set, p.Package, p.Version, p.SHA256[:16])
		}
	default:
		return fmt.Errorf("pins %v: want list or update", args)
	}
	return nil
}

func cleanCommand(_ context.Context, w *workshop, _ []string) error {
	w.print.Say("removing out and .cache; the development keys in keys stay")
	return errors.Join(os.RemoveAll(w.out()), os.RemoveAll(w.cache()))
}
