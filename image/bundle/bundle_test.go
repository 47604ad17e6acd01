package bundle

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"io"
	mathrand "math/rand/v2"
	"strings"
	"testing"
)

func key(t testing.TB) *ecdsa.PrivateKey {
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// contents are a slot in small: text that compresses, noise that does not, one byte.
func contents() map[string][]byte {
	noise := make([]byte, 300_000)
	r := mathrand.New(mathrand.NewPCG(1, 2))
	for i := range noise {
		noise[i] = byte(r.Uint32())
	}
	return map[string][]byte{"host-esp": bytes.Repeat([]byte("ashlar "), 50_000), "host-root": noise, "guest": {7}}
}

func manifest() Manifest {
	return Manifest{Version: "1.2.0", MinUpgradeFrom: "1.0.0", Floor: "1.1.0", SBOM: map[string]Digest{"sbom.json": sha256.Sum256(nil)},
		Measurements: Measurements{Host: HostMeasurements{PCR4: []Digest{{1}, {2}}}}}
}

func write(t testing.TB, k *ecdsa.PrivateKey) []byte {
	t.Helper()
	var sources []Source
	c := contents()
	for _, name := range []string{"host-esp", "host-root", "guest"} {
		sources = append(sources, Source{Name: name, Open: func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(c[name])), nil }})
	}
	var out bytes.Buffer
	if _, err := Write(&out, manifest(), sources, k, t.TempDir()); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// read extracts everything into memory.
func read(raw []byte, pub *ecdsa.PublicKey) (map[string][]byte, error) {
	r, err := Open(bytes.NewReader(raw), pub)
	if err != nil {
		return nil, err
	}
	got := map[string]*bytes.Buffer{}
	err = r.Extract(func(p Payload) (io.Writer, error) {
		got[p.Name] = &bytes.Buffer{}
		return got[p.Name], nil
	})
	out := map[string][]byte{}
	for name, b := range got {
		out[name] = b.Bytes()
	}
	return out, err
}

func TestRoundTrip(t *testing.T) {
	k := key(t)
	raw := write(t, k)
	if again := write(t, k); !bytes.Equal(raw, again) {
		t.Error("the same input gave other bytes")
	}
	got, err := read(raw, &k.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range contents() {
		if !bytes.Equal(got[name], want) {
			t.Errorf("%s differs", name)
		}
	}
}

func TestOtherKey(t *testing.T) {
	raw := write(t, key(t))
	if _, err := read(raw, &key(t).PublicKey); !errors.Is(err, ErrOtherKey) {
		t.Errorf("signed by another key: %v", err)
	}
}

// opened counts what a reader takes, to see that nothing of a payload is touched before the signature is good.
type opened struct {
	r io.Reader
	n int
}

func (o *opened) Read(p []byte) (int, error) {
	n, err := o.r.Read(p)
	o.n += n
	return n, err
}

func TestSignatureComesFirst(t *testing.T) {
	k := key(t)
	raw := write(t, k)
	front := bytes.Index(raw, []byte{0x28, 0xb5, 0x2f, 0xfd}) // the first zstd frame
	in := &opened{r: bytes.NewReader(raw)}
	if _, err := Open(in, &k.PublicKey); err != nil || in.n != front {
		t.Errorf("Open read %d bytes, the head has %d, %v", in.n, front, err)
	}
}

func TestEveryChangedByteIsSeen(t *testing.T) {
	k := key(t)
	raw := write(t, k)
	front := bytes.Index(raw, []byte{0x28, 0xb5, 0x2f, 0xfd})
	try := func(i int) {
		raw[i] ^= 1 << (i % 8)
		if _, err := read(raw, &k.PublicKey); !errors.Is(err, ErrChanged) && !errors.Is(err, ErrOtherKey) && !errors.Is(err, ErrNotBundle) && !errors.Is(err, ErrTruncated) {
			t.Errorf("byte %d changed: %v", i, err)
		}
		raw[i] ^= 1 << (i % 8)
	}
	for i := range front {
		try(i)
	}
	for i := front; i < len(raw); i += 997 {
		try(i)
	}
	try(len(raw) - 1)
	if _, err := read(append(bytes.Clone(raw), 0), &k.PublicKey); !errors.Is(err, ErrChanged) {
		t.Errorf("a byte behind the end: %v", err)
	}
}

func TestCutShort(t *testing.T) {
	k := key(t)
	raw := write(t, k)
	for n := 0; n < len(raw); n += 1 + n/7 {
		if _, err := read(raw[:n], &k.PublicKey); !errors.Is(err, ErrTruncated) {
			t.Errorf("cut at %d of %d: %v", n, len(raw), err)
		}
	}
}

func TestFit(t *testing.T) {
	k := key(t)
	r, err := Open(bytes.NewReader(write(t, k)), &k.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	good := func() Fit {
		return Fit{Running: "1.1.0", Floor: "1.0.0", Slots: map[string]int64{"host-esp": 350_000, "host-root": 300_000, "guest": 1}}
	}
	for _, c := range []struct {
		name   string
		change func(*Fit)
		want   error
		text   string
	}{
		{"fits", func(*Fit) {}, nil, ""},
		{"below the floor", func(f *Fit) { f.Floor = "1.2.1" }, ErrTooOld, "none older than 1.2.1"},
		{"same version again", func(f *Fit) { f.Running, f.Floor = "1.2.0", "1.2.0" }, nil, ""},
		{"too far away", func(f *Fit) { f.Running = "0.9.0" }, ErrUpgrade, "upgrade to 1.0.0 first"},
		{"too large", func(f *Fit) { f.Slots["host-root"] = 299_999 }, ErrTooLarge, "host-root has 300000 bytes"},
		{"other layout", func(f *Fit) { delete(f.Slots, "guest") }, nil, "another disk layout"},
		{"other names", func(f *Fit) { delete(f.Slots, "guest"); f.Slots["visitor"] = 1 }, nil, "no partition for payload guest"},
		{"no version", func(f *Fit) { f.Running = "" }, nil, "not a version"},
	} {
		fit := good()
		c.change(&fit)
		err := r.Manifest.Check(fit)
		if (err == nil) != (c.want == nil && c.text == "") || c.want != nil && !errors.Is(err, c.want) || err != nil && !strings.Contains(err.Error(), c.text) {
			t.Errorf("%s: %v, want %v with %q", c.name, err, c.want, c.text)
		}
	}
}

// A payload that unpacks to more than its signed size, however well it compresses, writes no more than one byte too many.
func TestBombIsStopped(t *testing.T) {
	k := key(t)
	var packed bytes.Buffer
	real, err := pack(&packed, Source{Name: "guest", Open: func() (io.ReadCloser, error) {
		return io.NopCloser(io.LimitReader(zeros{}, 50<<20)), nil
	}})
	if err != nil {
		t.Fatal(err)
	}
	m := manifest()
	m.Format = Format
	real.Size = 1000
	m.Payloads = []Payload{real}
	front, err := seal(m, k)
	if err != nil {
		t.Fatal(err)
	}
	r, err := Open(io.MultiReader(bytes.NewReader(front), &packed), &k.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	var out counter
	out.w = io.Discard
	if err := r.Extract(func(Payload) (io.Writer, error) { return &out, nil }); !errors.Is(err, ErrChanged) || out.n > 1001 {
		t.Errorf("wrote %d bytes, %v", out.n, err)
	}
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }

func TestWriterErrorIsNotBlamedOnTheBundle(t *testing.T) {
	k := key(t)
	r, err := Open(bytes.NewReader(write(t, k)), &k.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	full := errors.New("no space left on device")
	err = r.Extract(func(Payload) (io.Writer, error) { return failing{full}, nil })
	if !errors.Is(err, full) || errors.Is(err, ErrChanged) {
		t.Errorf("a full disk: %v", err)
	}
}

type failing struct{ err error }

func (f failing) Write([]byte) (int, error) { return 0, f.err }

func TestManifestRefused(t *testing.T) {
	k := key(t)
	ok := Manifest{Format: Format, Version: "1.0.0", MinUpgradeFrom: "1.0.0", Floor: "1.0.0", Payloads: []Payload{{Name: "a", Size: 1, CompressedSize: 1}}}
	for name, change := range map[string]func(*Manifest){
		"format":         func(m *Manifest) { m.Format = 2 },
		"version":        func(m *Manifest) { m.Version = "1" },
		"floor above":    func(m *Manifest) { m.Floor = "1.0.1" },
		"no payload":     func(m *Manifest) { m.Payloads = nil },
		"twice":          func(m *Manifest) { m.Payloads = append(m.Payloads, m.Payloads[0]) },
		"empty payload":  func(m *Manifest) { m.Payloads = []Payload{{Name: "a", CompressedSize: 1}} },
		"negative size":  func(m *Manifest) { m.Payloads = []Payload{{Name: "a", Size: 1, CompressedSize: -1}} },
		"unbounded size": func(m *Manifest) { m.Payloads = []Payload{{Name: "a", Size: 1 << 60, CompressedSize: 1}} },
	} {
		m := ok
		change(&m)
		if _, err := seal(m, k); err == nil {
			t.Errorf("%s: sealed", name)
		}
	}
	raw, err := ok.encode()
	if err != nil {
		t.Fatal(err)
	}
	for _, bad := range []string{string(raw) + " ", strings.Replace(string(raw), ":1,", ": 1,", 1), strings.Replace(string(raw), "{", `{"more":1,`, 1), string(raw) + string(raw)} {
		if _, err := decode([]byte(bad)); err == nil {
			t.Errorf("not canonical, and accepted: %s", bad)
		}
	}
}

func FuzzReader(f *testing.F) {
	k := key(f)
	raw := write(f, k)
	f.Add(raw[:2000])
	f.Fuzz(func(t *testing.T, raw []byte) {
		if r, err := Open(bytes.NewReader(raw), &k.PublicKey); err == nil {
			r.Extract(func(Payload) (io.Writer, error) { return io.Discard, nil })
		}
	})
}

func FuzzManifest(f *testing.F) {
	m := manifest()
	m.Format, m.Payloads = Format, []Payload{{Name: "a", Size: 1, CompressedSize: 1}}
	raw, err := m.encode()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(raw)
	f.Fuzz(func(t *testing.T, raw []byte) {
		if m, err := decode(raw); err == nil {
			m.Check(Fit{Running: "1.0.0", Floor: "1.0.0"})
			m.Total()
		}
	})
}

// FuzzPayload gives the decoder what a thief of the release key could: any bytes under a good signature.
func FuzzPayload(f *testing.F) {
	var packed bytes.Buffer
	if _, err := pack(&packed, Source{Open: func() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader("hello hello hello")), nil }}); err != nil {
		f.Fatal(err)
	}
	f.Add(packed.Bytes())
	f.Fuzz(func(t *testing.T, raw []byte) {
		p := Payload{Name: "a", Size: 100, CompressedSize: int64(len(raw))}
		out := counter{w: io.Discard}
		if err := extract(&out, bytes.NewReader(raw), p); err == nil || out.n > p.Size+1 {
			t.Errorf("%d bytes, %v", out.n, err)
		}
	})
}
