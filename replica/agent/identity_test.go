package agent

import (
	"encoding/hex"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"ashlar/replica/crypto/usersig"
	"ashlar/replica/ic"
	"ashlar/replica/wire/envelope"
)

// The keys in testdata were made by openssl, with their public halves in DER.
func TestParsePEM(t *testing.T) {
	files, _ := filepath.Glob("testdata/*.pem")
	if len(files) != 4 {
		t.Fatalf("%d files", len(files))
	}
	for _, f := range files {
		text, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		pub, err := os.ReadFile(strings.TrimSuffix(f, ".pem") + ".pub")
		if err != nil {
			t.Fatal(err)
		}
		i, err := ParsePEM(text)
		if err != nil {
			t.Errorf("%s: %v", f, err)
			continue
		}
		if got := hex.EncodeToString(i.PublicKey()); got != strings.TrimSpace(string(pub)) {
			t.Errorf("%s: public key is %s", f, got)
		}
		sig, _ := i.Sign([]byte("m"))
		if err := (&usersig.Verifier{}).Verify(i.PublicKey(), []byte("m"), sig); err != nil {
			t.Errorf("%s: %v", f, err)
		}
		cut := strings.Replace(string(text), "\n", "\nAAAA", 1)
		if _, err := ParsePEM([]byte(cut)); err == nil {
			t.Errorf("%s with bytes inserted: accepted", f)
		}
	}
	for _, bad := range []string{"", "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n", "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"} {
		if _, err := ParsePEM([]byte(bad)); err == nil {
			t.Errorf("%q: accepted", bad)
		}
	}
}

func TestPrincipalOf(t *testing.T) {
	root, next := identity(t, 1), identity(t, 2)
	if PrincipalOf(Anonymous) != ic.Anonymous {
		t.Error("nobody has a principal")
	}
	if PrincipalOf(Delegated{next, root.PublicKey(), []envelope.SignedDelegation{{}}}) != PrincipalOf(root) {
		t.Error("a delegated identity is not its root")
	}
}
