// Command trimasm stands before Go's assembler (go build -toolexec) and takes one more
// path of the machine out of its results.
//
// go build -trimpath makes binaries that are the same on every machine, except
// where an assembler file includes one of another folder (gnark-crypto 0.22 does):
// then the place of the module cache stays in the program's line tables, and two
// machines build two programs. mk repro found it with Go 1.26.8. A flag
// (-asmflags) cannot mend it, because the linker writes flags into the program,
// with the path; an overlay must not touch the module cache.
//
// ASHLAR_MODCACHE is the path to take out. Other tools run unchanged.
package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
)

// mark makes go's cache keep our results apart from those of the assembler alone.
const mark = " trimasm1"

func main() {
	if len(os.Args) < 2 {
		fmt.Fprintln(os.Stderr, "trimasm: go build -toolexec starts this")
		os.Exit(2)
	}
	tool, args := os.Args[1], os.Args[2:]
	if filepath.Base(tool) == "asm" {
		if slices.Contains(args, "-V=full") {
			version(tool, args)
			return
		}
		args = trim(args, os.Getenv("ASHLAR_MODCACHE"))
	}
	err := syscall.Exec(tool, append([]string{tool}, args...), os.Environ())
	fmt.Fprintf(os.Stderr, "trimasm: start %s: %v\n", tool, err)
	os.Exit(1)
}

func version(tool string, args []string) {
	out, err := exec.Command(tool, args...).Output()
	if err != nil {
		fmt.Fprintf(os.Stderr, "trimasm: %s: %v\n", tool, err)
		os.Exit(1)
	}
	fmt.Println(strings.TrimSpace(string(out)) + mark)
}

// trim adds the module cache to what the assembler takes out of paths, last: go's own rules come first.
func trim(args []string, cache string) []string {
	if cache == "" {
		return args
	}
	out := slices.Clone(args)
	rule := cache + "=>"
	for i, a := range out {
		switch {
		case a == "-trimpath" && i+1 < len(out):
			out[i+1] = strings.TrimSuffix(out[i+1], ";") + ";" + rule
			return out
		case strings.HasPrefix(a, "-trimpath="):
			out[i] = strings.TrimSuffix(a, ";") + ";" + rule
			return out
		}
	}
	return out
}
