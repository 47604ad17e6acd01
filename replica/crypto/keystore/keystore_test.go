package keystore

import (
	"bytes"
	"crypto/ed25519"
	"encoding/hex"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func saved(t *testing.T) (dir string, k *Keys) {
	t.Helper()
	k, err := Generate()
	if err != nil {
		t.Fatal(err)
	}
	dir = t.TempDir()
	if err := k.Save(dir); err != nil {
		t.Fatal(err)
	}
	return dir, k
}

func TestSaveLoad(t *testing.T) {
	dir, k := saved(t)
	info, err := os.Stat(filepath.Join(dir, FileName))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	back, err := Load(dir)
	if err != nil {
		t.Fatal(err)
	}
	m := []byte("message")
	if back.NodeID() != k.NodeID() || !ed25519.Verify(back.NodeKey(), m, k.Vote(m)) {
		t.Error("another node key")
	}
	if !back.Committee().Equal(k.Committee()) {
		t.Error("another committee key")
	}
	if der := k.NodeDER(); len(der) != 44 || !strings.HasPrefix(hex.EncodeToString(der), "302a300506032b6570032100") {
		t.Errorf("DER %x", der)
	}
	k.Erase()
	if !bytes.Equal(k.node, make([]byte, ed25519.PrivateKeySize)) {
		t.Error("the secret is still in memory")
	}
	for _, b := range [][]byte{k.committee.Bytes(), k.dealing[0].Bytes()[8:]} {
		if !bytes.Equal(b, make([]byte, 32)) {
			t.Error("a secret is still in memory")
		}
	}
}

func TestReplace(t *testing.T) {
	dir, old := saved(t)
	path := filepath.Join(dir, FileName)
	f, err := os.Open(path) // as a recovery tool would: the old file's content
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	k, err := Generate()
	if err != nil {
		t.Fatal(err)
	}
	if err := k.Save(dir); err != nil {
		t.Fatal(err)
	}
	if back, err := Load(dir); err != nil || back.NodeID() != k.NodeID() {
		t.Errorf("not the new keys: %v", err)
	}
	content, err := io.ReadAll(f)
	if err != nil || len(content) < fixedBytes || !bytes.Equal(content, make([]byte, len(content))) {
		t.Errorf("the old file still has its secrets, %v", err)
	}
	_ = old
}

// Power fails after the old file was overwritten and before the new one has its name.
func TestReplaceCutOff(t *testing.T) {
	dir, k := saved(t)
	path := filepath.Join(dir, FileName)
	if err := os.Rename(path, path+".new"); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, make([]byte, fixedBytes), 0o600); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if back, err := Load(dir); err != nil || back.NodeID() != k.NodeID() {
			t.Errorf("the keys are lost: %v", err)
		}
		os.Remove(path + ".new") // as the next Save does first of all
	}
}

func TestRefused(t *testing.T) {
	if _, err := Load(t.TempDir()); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no file: %v", err)
	}
	for name, c := range map[string]struct {
		spoil func(path string, data []byte) error
		says  string
	}{
		"a flipped bit":      {func(p string, d []byte) error { d[20] ^= 1; return os.WriteFile(p, d, 0o600) }, "damaged"},
		"cut":                {func(p string, d []byte) error { return os.WriteFile(p, d[:100], 0o600) }, "damaged"},
		"a stub":             {func(p string, d []byte) error { return os.WriteFile(p, d[:40], 0o600) }, "not a key file"},
		"a newer format":     {func(p string, d []byte) error { d[12] = '4'; return os.WriteFile(p, d, 0o600) }, "not a key file"},
		"far too long":       {func(p string, d []byte) error { return os.WriteFile(p, make([]byte, 1<<20), 0o600) }, "at most"},
		"readable by others": {func(p string, d []byte) error { return os.Chmod(p, 0o644) }, "chmod 600"},
	} {
		dir, _ := saved(t)
		path := filepath.Join(dir, FileName)
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if err := c.spoil(path, data); err != nil {
			t.Fatal(err)
		}
		if _, err := Load(dir); err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
