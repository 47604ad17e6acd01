// Package qemutests proves by booting: what no unit test can show is shown here.
//
//	make test builds two releases ──> out/image, out/image-NEXT ──> these tests boot them under OVMF, with a TPM of their own
//
// Tests wait for what the console says and never sleep; a failure prints the
// console's end. Boots are dear (a minute each without KVM), so a test tells a
// whole story with one machine.
package qemutests

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"ashlar/hostos/api"
	"ashlar/image/bundle"
	"ashlar/qemu-tests/lab"
)

const (
	bootLimit = 6 * time.Minute // a boot takes one without KVM; CI machines have bad days
	nodeConf  = "name = test-node\nipv4 = 10.0.2.15/24\nipv4_gateway = 10.0.2.2\nguest_ipv4 = 10.0.2.16/24\nhealth_timeout = 10m\n"
)

// built is a release that was built for these tests.
type built struct {
	dir, version string
}

func (b built) file(name string) string { return filepath.Join(b.dir, name) }
func (b built) disk() string            { return b.file("ashlar-" + b.version + ".img") }
func (b built) bundle() string          { return b.file("ashlar-" + b.version + ".bundle") }

func (b built) manifest(t *testing.T) (m bundle.Manifest) {
	t.Helper()
	j, err := os.ReadFile(b.file("ashlar-" + b.version + ".manifest.json"))
	if err == nil {
		err = json.Unmarshal(j, &m)
	}
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// out is where mk put its results. `mk test` says where; a lone `go test` finds them beside us or skips.
func out(t *testing.T) string {
	t.Helper()
	if dir := os.Getenv("ASHLAR_OUT"); dir != "" {
		return dir
	}
	dir, err := filepath.Abs("../out")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(dir, "image")); err != nil {
		t.Skip("no images were built: make image")
	}
	return dir
}

func release(t *testing.T, folder string) built {
	t.Helper()
	dir := filepath.Join(out(t), folder)
	found, _ := filepath.Glob(filepath.Join(dir, "ashlar-*.bundle"))
	if len(found) != 1 {
		t.Fatalf("%s holds %d bundles, want one: make clean, make test", dir, len(found))
	}
	return built{dir, strings.TrimSuffix(strings.TrimPrefix(filepath.Base(found[0]), "ashlar-"), ".bundle")}
}

func current(t *testing.T) built { return release(t, "image") }

// next is the release to upgrade to: the same content under a higher number.
func next(t *testing.T) built {
	t.Helper()
	version := os.Getenv("ASHLAR_NEXT")
	if version == "" {
		version = "0.2.0-test"
	}
	if _, err := os.Stat(filepath.Join(out(t), "image-"+version)); err != nil {
		t.Skipf("no second release was built: go run ./build/cmd/mk image --version %s", version)
	}
	return release(t, "image-"+version)
}

// machine is a computer that can be switched on and off again.
type machine struct {
	t       *testing.T
	dir     string
	conf    string
	noTPM   bool
	smm     bool
	vm      *lab.VM
	hostURL string // the node API
	url     string // the replica
	mark    lab.Mark
}

// newMachine has a fresh TPM, our Secure Boot keys and the release on its disk.
func newMachine(t *testing.T, b built, conf string) *machine {
	t.Helper()
	dir, err := os.MkdirTemp("", "ashlar-test-") // not t.TempDir: a comma of a test's name would end a path on QEMU's command line
	must(t, err)
	m := &machine{t: t, dir: dir}
	must(t, lab.NewTPM(m.path("tpm")))
	must(t, lab.Clone(m.path("disk"), b.disk()))
	vars, err := os.ReadFile(b.file("OVMF_VARS.fd"))
	must(t, err)
	must(t, os.WriteFile(m.path("vars"), vars, 0o600))
	m.conf = conf + m.admin()
	must(t, os.WriteFile(m.path("node.conf"), []byte(m.conf), 0o600))
	must(t, lab.Configure(m.path("disk"), []byte(m.conf)))
	t.Cleanup(func() {
		if m.vm != nil {
			m.vm.Close()
		}
		os.RemoveAll(dir)
	})
	return m
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func (m *machine) path(name string) string { return filepath.Join(m.dir, name) }

// admin makes the administrator's key and returns its line of node.conf.
func (m *machine) admin() string {
	m.t.Helper()
	said, err := m.nodectl("keygen", m.path("admin.key"))
	must(m.t, err)
	_, line, ok := strings.Cut(said, "admin_key")
	if !ok {
		m.t.Fatalf("keygen said %q", said)
	}
	return "admin_key" + line
}

// nodectl runs the node provider's tool and returns what it said.
func (m *machine) nodectl(args ...string) (string, error) {
	m.t.Helper()
	said, err := exec.Command(filepath.Join(out(m.t), "bin", "nodectl"), args...).CombinedOutput()
	return string(said), err
}

// on switches the machine on.
func (m *machine) on() {
	m.t.Helper()
	replica, host := port(m.t), port(m.t)
	m.url, m.hostURL = fmt.Sprintf("http://127.0.0.1:%d", replica), fmt.Sprintf("http://127.0.0.1:%d", host)
	c := lab.Config{Disk: m.path("disk"), Vars: m.path("vars"), TPM: m.path("tpm"), SMM: m.smm, Log: m.path("console.log"),
		Forward: []lab.Forward{{Port: replica, To: "10.0.2.16:4943"}, {Port: host, To: "10.0.2.15:4944"}}}
	if m.noTPM {
		c.TPM = ""
	}
	vm, err := lab.Start(m.t.Context(), c)
	must(m.t, err)
	m.vm, m.mark = vm, vm.Console.Since(0)
}

func port(t *testing.T) int {
	t.Helper()
	p, err := lab.FreePort()
	must(t, err)
	return p
}

// says waits until the console says it, from the last mark on, and returns the submatches.
func (m *machine) says(pattern string) []string {
	m.t.Helper()
	ctx, cancel := context.WithTimeout(m.t.Context(), bootLimit)
	defer cancel()
	sub, err := m.mark.Wait(ctx, pattern)
	if err != nil {
		m.t.Fatal(m.vm.Failure(err))
	}
	return sub
}

// ready waits for a healthy replica; a phase that fails ends the test at once.
func (m *machine) ready() {
	m.t.Helper()
	if said := m.says(`ashlar (?:host|init) [0-9.]+ (ready|\S+ failed)(.*)`); said[1] != "ready" {
		m.t.Fatalf("the node does not boot: %s%s\n%s", said[1], said[2], m.vm.Console.Tail())
	}
}

// pull takes the plug out.
func (m *machine) pull() {
	m.vm.Close()
	m.vm = nil
}

// off shuts the machine down as a person would.
func (m *machine) off() {
	m.t.Helper()
	must(m.t, m.vm.PowerButton())
	ctx, cancel := context.WithTimeout(m.t.Context(), bootLimit)
	defer cancel()
	must(m.t, m.vm.WaitOff(ctx))
	m.pull()
}

func (m *machine) status() (s api.Status) {
	m.t.Helper()
	b, err := fetch(m.t.Context(), m.hostURL+"/v1/status")
	if err == nil {
		err = json.Unmarshal(b, &s)
	}
	if err != nil {
		m.t.Fatal(m.vm.Failure(err))
	}
	return s
}

func fetch(ctx context.Context, url string) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	return io.ReadAll(io.LimitReader(resp.Body, 4<<20))
}

// clients runs the demo with the npm clients; with check it only reads the counter.
func (m *machine) clients(check bool) string {
	m.t.Helper()
	dir := "clients"
	wasm := m.path("counter.wasm")
	if _, err := os.Stat(wasm); err != nil {
		m.script(dir, "compile.mjs", "counter.mo", wasm)
	}
	args := []string{"demo.mjs", "--url", m.url, "--wasm", wasm, "--state", m.path("demo.json")}
	if check {
		args = append(args, "--check")
	}
	return m.script(dir, args...)
}

func (m *machine) script(dir string, args ...string) string {
	m.t.Helper()
	cmd := exec.CommandContext(m.t.Context(), "node", args...)
	cmd.Dir = dir
	said, err := cmd.CombinedOutput()
	if err != nil {
		m.t.Fatalf("node %s: %v\n%s%s", strings.Join(args, " "), err, said, m.tail())
	}
	return string(said)
}

func (m *machine) tail() string {
	if m.vm == nil {
		return ""
	}
	return "console, last lines:\n" + m.vm.Console.Tail()
}
