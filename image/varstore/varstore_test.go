package varstore

import (
	"bytes"
	"crypto/x509"
	"encoding/binary"
	"os"
	"strings"
	"testing"

	"ashlar/image/keys"
)

func devKeys(t testing.TB) Keys {
	set, err := keys.Dev(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	return Keys{PK: set.PK.Cert, KEK: set.KEK.Cert, DB: set.DB.Cert}
}

// blank is a flash image as OVMF's build leaves it: a formatted store without variables.
func blank(storeBytes int) []byte {
	out := bytes.Repeat([]byte{0xff}, 0x48+storeBytes)
	clear(out[:0x48+storeHeaderBytes])
	copy(out[volumeSignature:], "_FVH")
	binary.LittleEndian.PutUint16(out[volumeHeaderSize:], 0x48)
	copy(out[0x48:], authenticatedStore[:])
	binary.LittleEndian.PutUint32(out[0x48+16:], uint32(storeBytes))
	out[0x48+20], out[0x48+21] = storeFormatted, storeHealthy
	return out
}

func TestEnroll(t *testing.T) {
	k := devKeys(t)
	flashes := map[string][]byte{"blank": blank(0x10000)}
	if raw, err := os.ReadFile("/usr/share/OVMF/OVMF_VARS_4M.fd"); err == nil {
		flashes["OVMF"] = raw
	}
	for name, flash := range flashes {
		before := bytes.Clone(flash)
		out, err := Enroll(flash, k)
		if err != nil {
			t.Fatal(name, err)
		}
		if !bytes.Equal(flash, before) || len(out) != len(flash) {
			t.Errorf("%s: the input was changed, or the size", name)
		}
		if again, _ := Enroll(flash, k); !bytes.Equal(out, again) {
			t.Errorf("%s: the same input gave other bytes", name)
		}
		vars, err := Read(out)
		if err != nil {
			t.Fatal(name, err)
		}
		got := map[string]Variable{}
		for _, v := range vars {
			got[v.Name] = v
		}
		for name, cert := range map[string]*x509.Certificate{"PK": k.PK, "KEK": k.KEK, "db": k.DB} {
			if v := got[name]; v.Attributes != attrAuthKey || !bytes.Equal(v.Data, SignatureList(cert)) || !bytes.HasSuffix(v.Data, cert.Raw) {
				t.Errorf("%s is %+v", name, v)
			}
		}
		if v := got["SecureBootEnable"]; v.Vendor != secureBootEnable || !bytes.Equal(v.Data, []byte{1}) {
			t.Errorf("SecureBootEnable is %+v", v)
		}
	}
}

func TestEnrollRefuses(t *testing.T) {
	k := devKeys(t)
	enrolled, err := Enroll(blank(0x10000), k)
	if err != nil {
		t.Fatal(err)
	}
	plain := blank(0x10000)
	copy(plain[0x48:], make([]byte, 16))
	for _, c := range []struct {
		name, want string
		flash      []byte
	}{
		{"empty", "not a firmware volume", nil},
		{"code", "not a firmware volume", make([]byte, 1<<20)},
		{"no authenticated store", "without Secure Boot", plain},
		{"twice", "already", enrolled},
		{"small", "no room", blank(2000)},
		{"cut", "damaged", blank(0x10000)[:0x8000]},
	} {
		if _, err := Enroll(c.flash, k); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want an error with %q", c.name, err, c.want)
		}
	}
}

func FuzzRead(f *testing.F) {
	out, err := Enroll(blank(0x4000), devKeys(f))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(out)
	f.Fuzz(func(t *testing.T, flash []byte) { Read(flash) })
}
