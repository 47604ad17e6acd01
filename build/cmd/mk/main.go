// Command mk is the one build program: `go run ./build/cmd/mk help`. The Makefile is its table of contents.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"

	"ashlar/build/progress"
)

// command is one word after mk.
type command struct {
	name  string
	about string
	run   func(ctx context.Context, w *workshop, args []string) error
}

var commands = []command{
	{"setup", "install the Debian packages and npm clients that are missing, and say which", setupCommand},
	{"build", "put the programs under out/bin: replica, nodectl and what the images hold", buildCommand},
	{"image", "build the images, the bundle and the bills of materials under out/image", imageCommand},
	{"run", "boot one node in QEMU and run the demo (DEMO=0, PORT=N)", runCommand},
	{"demo", "run the demo's npm clients against --url URL", demoCommand},
	{"check", "what takes seconds: gofmt, vet, staticcheck, layers", checkCommand},
	{"test", "everything: check, unit tests, acceptance, repro, QEMU tests", testCommand},
	{"accept", "clients and compilers that we did not write, against a replica (arguments name suites)", acceptCommand},
	{"sim", "run a subnet from a seed (SEED=N NODES=N COUNT=N, or STORY=FILE)", simCommand},
	{"testnet", "a network of N real replicas, no VM (N=4 PORT=P INTERVAL=60 NETEM=\"delay 60ms loss 1%\"); mk testnet help: kill, partition, ...", testnetCommand},
	{"soak", "run new seeds for FOR=10m, or COUNT=N of them, print the story of the first that fails (mk soak -all: play on and name all); mk soak fuzz [PKG]: the fuzz tests; mk soak net: a network of processes that fail; mk soak qemu: the QEMU tests", soakCommand},
	{"repro", "build twice under other circumstances and compare every byte", reproCommand},
	{"bench", "measure the figures that the project has promised", benchCommand},
	{"release", "build with release keys: --keys DIR or ASHLAR_KEYS", releaseCommand},
	{"pins", "pins list; pins update moves every pin to what the mirror has now", pinsCommand},
	{"clean", "remove what can be built again: out and .cache, not keys", cleanCommand},
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := dispatch(ctx, os.Args[1:]); err != nil {
		fmt.Fprintf(os.Stderr, "mk: %s\n", strings.TrimPrefix(err.Error(), "mk: "))
		os.Exit(1)
	}
}

func dispatch(ctx context.Context, args []string) error {
	if len(args) == 0 || args[0] == "help" || args[0] == "-h" || args[0] == "--help" {
		help()
		return nil
	}
	for _, c := range commands {
		if c.name == args[0] {
			w, err := open()
			if err != nil {
				return err
			}
			return c.run(ctx, w, args[1:])
		}
	}
	return fmt.Errorf("there is no command %q; make help lists them", args[0])
}

func help() {
	fmt.Println("Ashlar: make WORD, or go run ./build/cmd/mk WORD")
	for _, c := range commands {
		fmt.Printf("  %-8s %s\n", c.name, c.about)
	}
}

// workshop is the source tree that we stand in.
type workshop struct {
	root  string
	print *progress.Printer
}

func (w *workshop) out(elem ...string) string {
	return filepath.Join(append([]string{w.root, "out"}, elem...)...)
}

func (w *workshop) cache() string { return filepath.Join(w.root, ".cache") }

// open finds the root of the tree: the folder with our go.mod, here or above.
func open() (*workshop, error) {
	dir, err := os.Getwd()
	if err != nil {
		return nil, err
	}
	for d := dir; ; d = filepath.Dir(d) {
		if b, err := os.ReadFile(filepath.Join(d, "go.mod")); err == nil && strings.HasPrefix(string(b), "module ashlar\n") {
			return &workshop{root: d, print: progress.New(os.Stdout)}, nil
		}
		if d == filepath.Dir(d) {
			return nil, fmt.Errorf("%s is not inside of Ashlar's source tree", dir)
		}
	}
}
