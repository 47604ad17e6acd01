package keystore

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"ashlar/replica/crypto/bls"
)

// withShare are the same keys with one share more.
func withShare(t testing.TB, k *Keys, n byte) {
	t.Helper()
	share, err := bls.GenerateKey(stream(fmt.Sprint("share ", n)))
	if err != nil {
		t.Fatal(err)
	}
	k.shares = map[[32]byte]*bls.SecretKey{{n}: share}
}

// files of a directory, by name.
type files map[string][]byte

func read(t *testing.T, dir string) files {
	t.Helper()
	names, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	out := files{}
	for _, n := range names {
		if out[n.Name()], err = os.ReadFile(filepath.Join(dir, n.Name())); err != nil {
			t.Fatal(err)
		}
	}
	return out
}

func (f files) lay(t *testing.T) (dir string) {
	t.Helper()
	dir = t.TempDir()
	for name, data := range f {
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// between are what a directory may hold after a crash in a step: each file as before, as
// after, or a part of what was written over what was there.
func between(before, after files) (out []files) {
	out = append(out, before, after)
	for name, now := range after {
		was := before[name]
		for cut := 0; cut < len(now); cut += 1 + len(now)/7 {
			half := files{}
			for n, d := range before {
				half[n] = d
			}
			half[name] = append(append([]byte{}, now[:cut]...), was[min(cut, len(was)):]...)
			out = append(out, half)
		}
	}
	return out
}

// A crash before, in and after each step of Save leaves the old keys or the new, which
// Load finds, and with which the next Save does as well.
func TestCrashInSave(t *testing.T) {
	dir, k := saved(t)
	withShare(t, k, 1)
	if err := k.Save(dir); err != nil {
		t.Fatal(err)
	}
	old, _ := os.ReadFile(filepath.Join(dir, FileName))
	withShare(t, k, 2)
	data := k.encode()
	var left []files
	for _, step := range steps(filepath.Join(dir, FileName), data) {
		before := read(t, dir)
		if err := step.do(); err != nil {
			t.Fatal(err)
		}
		left = append(left, between(before, read(t, dir))...)
	}
	if len(left) < 20 {
		t.Fatalf("%d states of the directory", len(left))
	}
	for i, f := range left {
		at := f.lay(t)
		back, err := Load(at)
		if err != nil {
			t.Fatalf("state %d: neither the old keys nor the new: %v", i, err)
		}
		if got := back.encode(); !bytes.Equal(got, old) && !bytes.Equal(got, data) {
			t.Errorf("state %d: other keys", i)
		}
		withShare(t, back, 3)
		again := back.encode()
		for _, step := range steps(filepath.Join(at, FileName), again) {
			if back, err = Load(read(t, at).lay(t)); err != nil || back.NodeID() != k.NodeID() {
				t.Fatalf("state %d: lost before the next %q: %v", i, step.name, err)
			}
			if err := step.do(); err != nil {
				t.Fatal(err)
			}
		}
		if back, err = Load(at); err != nil || !back.Holds([32]byte{3}) {
			t.Errorf("state %d: the next save is lost: %v", i, err)
		}
	}
}

// saveForEver is what the process does that TestKill9 kills.
const saveForEver = "ASHLAR_KEYS_SAVED_FOR_EVER"

func TestMain(m *testing.M) {
	if dir := os.Getenv(saveForEver); dir != "" {
		for n := byte(0); ; n++ {
			k, err := Load(dir)
			if err == nil {
				share, _ := bls.GenerateKey(stream("s"))
				k.shares = map[[32]byte]*bls.SecretKey{{n}: share}
				err = k.Save(dir)
			}
			if err != nil {
				fmt.Println(err)
				os.Exit(1)
			}
		}
	}
	os.Exit(m.Run())
}

// A process that saves keys again and again is killed at any moment: they are there.
func TestKill9(t *testing.T) {
	dir, k := saved(t)
	for range 25 {
		cmd := exec.Command(os.Args[0], "-test.run=^$")
		cmd.Env = append(os.Environ(), saveForEver+"="+dir)
		var out bytes.Buffer
		cmd.Stdout = &out
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Duration(20+rand.IntN(80)) * time.Millisecond)
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		if out.Len() > 0 {
			t.Fatalf("it ended by itself: %s", out.String())
		}
		back, err := Load(dir)
		if err != nil {
			t.Fatal(err)
		}
		if back.NodeID() != k.NodeID() || len(back.shares) > 1 {
			t.Fatal("other keys")
		}
	}
}
