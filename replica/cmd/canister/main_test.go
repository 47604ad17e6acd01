package main

import (
	"bufio"
	"bytes"
	"math/big"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"ashlar/replica/wire/candid"
)

func TestShow(t *testing.T) {
	for want, reply := range map[string][]byte{
		"(7)":         candid.Marshal(candid.Natural{Int: big.NewInt(7)}),
		`("a", true)`: candid.Marshal("a", true),
		"()":          emptyArgs,
		"01020304":    {1, 2, 3, 4},
		"4449444c":    []byte("DIDL"),
	} {
		if got := show(reply); got != want {
			t.Errorf("%x: got %s, want %s", reply, got, want)
		}
	}
}

// A canister's life, each step a command.
func TestLife(t *testing.T) {
	bin := filepath.Join(t.TempDir(), "replica")
	if out, err := exec.Command("go", "build", "-o", bin, "../replica").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	replica := exec.Command(bin, "--dev", "--listen", "127.0.0.1:0", "--state", t.TempDir())
	log, err := replica.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := replica.Start(); err != nil {
		t.Fatal(err)
	}
	defer replica.Wait()
	defer replica.Process.Kill()
	url := ""
	for lines := bufio.NewScanner(log); url == "" && lines.Scan(); {
		if _, u, ok := strings.Cut(lines.Text(), "replica: http"); ok {
			url = "http" + u
		}
	}
	id := ""
	for _, step := range []struct{ command, says, fails string }{
		{"create", "", ""},
		{"install ID ../replica/testdata/counter.wasm", "", ""},
		{"install ID ../replica/testdata/counter.wasm", "", "IC0514"},
		{"call ID inc", "01000000", ""},
		{"call ID inc 00", "02000000", ""},
		{"query ID get", "02000000", ""},
		{"upgrade ID ../replica/testdata/counter.wasm", "", ""},
		{"query ID get", "00000000", ""}, // its heap is not kept
		{"status ID", "running", ""},
		{"delete ID", "", "IC0510"},
		{"stop ID", "", ""},
		{"call ID inc", "", "IC0508"},
		{"start ID", "", ""},
		{"stop ID", "", ""},
		{"delete ID", "", ""},
		{"call ID inc", "", "IC0301"},
		{"call ID inc xyz", "", "not hexadecimal"},
		{"call nobody inc", "", "not the text of a principal"},
		{"dance", "", "usage"},
		{"", "", "usage"},
	} {
		var out bytes.Buffer
		args := strings.Fields(strings.ReplaceAll("-url "+url+" "+step.command, "ID", id))
		err := run(t.Context(), args, &out)
		switch {
		case step.fails == "" && err != nil:
			t.Errorf("%s: %v", step.command, err)
		case step.fails != "" && (err == nil || !strings.Contains(err.Error(), step.fails)):
			t.Errorf("%s: %v, want %s", step.command, err, step.fails)
		case !strings.Contains(out.String(), step.says):
			t.Errorf("%s: %q, want %s", step.command, out.String(), step.says)
		}
		if step.command == "create" {
			id = strings.TrimSpace(out.String())
		}
	}
	if err := run(t.Context(), []string{"-url", "http://127.0.0.1:1", "create"}, &bytes.Buffer{}); err == nil || !strings.Contains(err.Error(), "replica --dev") {
		t.Errorf("nobody listens: %v", err)
	}
}
