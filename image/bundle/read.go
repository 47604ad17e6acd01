package bundle

import (
	"crypto/ecdsa"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"io"

	"github.com/klauspost/compress/zstd"

	"ashlar/image/version"
)

// copyBytes is how much of a payload is in flight between the decoder and the slot.
const copyBytes = 1 << 20

// A Reader is a bundle whose signature was found good.
type Reader struct {
	Manifest Manifest
	rest     io.Reader
	done     bool
}

// Open reads the head and checks its signature. Nothing of a payload has been read when it returns.
func Open(r io.Reader, pub *ecdsa.PublicKey) (*Reader, error) {
	var raw [headBytes]byte
	if _, err := io.ReadFull(r, raw[:]); err != nil {
		return nil, fmt.Errorf("read bundle: %w", short(err))
	}
	h, err := decodeHead(raw)
	if err != nil {
		return nil, fmt.Errorf("read bundle: %w", err)
	}
	body := make([]byte, h.manifest+h.signature)
	if _, err := io.ReadFull(r, body); err != nil {
		return nil, fmt.Errorf("read bundle: %w", short(err))
	}
	manifest, signature := body[:h.manifest], body[h.manifest:]
	if err := verify(h, manifest, signature, pub); err != nil {
		return nil, fmt.Errorf("read bundle: %w", err)
	}
	m, err := decode(manifest)
	if err != nil {
		return nil, fmt.Errorf("read bundle: its manifest is signed, but not one that this program understands: %w", err)
	}
	return &Reader{Manifest: m, rest: r}, nil
}

// Fit is what the machine says about itself.
type Fit struct {
	Running string           // the release that runs now
	Floor   string           // the oldest release that may be installed: slots.Record.Floor
	Slots   map[string]int64 // payload name -> size of its partition in the idle slot; every payload must have one, and be there
}

// Check compares the manifest with the machine, before anything is written.
func (m Manifest) Check(fit Fit) error {
	if older, err := version.Older(m.Version, fit.Floor); err != nil {
		return fmt.Errorf("check release: %w", err)
	} else if older {
		return fmt.Errorf("check release: %w: %s, and this machine takes none older than %s: use a newer bundle", ErrTooOld, m.Version, fit.Floor)
	}
	if older, err := version.Older(fit.Running, m.MinUpgradeFrom); err != nil {
		return fmt.Errorf("check release: %w", err)
	} else if older {
		return fmt.Errorf("check release: %w: %s can be reached from %s on, and %s runs here: upgrade to %s first", ErrUpgrade, m.Version, m.MinUpgradeFrom,
			fit.Running, m.MinUpgradeFrom)
	}
	if len(m.Payloads) != len(fit.Slots) {
		return fmt.Errorf("check release: it has %d payloads and a slot has %d partitions: it was made for another disk layout", len(m.Payloads), len(fit.Slots))
	}
	for _, p := range m.Payloads {
		room, ok := fit.Slots[p.Name]
		if !ok {
			return fmt.Errorf("check release: a slot has no partition for payload %s: it was made for another disk layout", p.Name)
		}
		if p.Size > room {
			return fmt.Errorf("check release: %w: %s has %d bytes, its partition %d: install this release afresh", ErrTooLarge, p.Name, p.Size, room)
		}
	}
	return nil
}

// Extract streams every payload to the writer that open gives for it, and checks all hashes. If it returns an error, what was
// written is worth nothing. The caller syncs and closes.
func (r *Reader) Extract(open func(Payload) (io.Writer, error)) error {
	if r.done {
		panic("bundle: Extract called twice on a stream")
	}
	r.done = true
	for _, p := range r.Manifest.Payloads {
		w, err := open(p)
		if err != nil {
			return fmt.Errorf("extract %s: %w", p.Name, err)
		}
		if err := extract(w, r.rest, p); err != nil {
			return fmt.Errorf("extract %s: %w", p.Name, err)
		}
	}
	var one [1]byte
	if n, err := io.ReadFull(r.rest, one[:]); n > 0 {
		return fmt.Errorf("extract: %w: there are bytes behind its last payload", ErrChanged)
	} else if !errors.Is(err, io.EOF) {
		return fmt.Errorf("extract: %w", err)
	}
	return nil
}

func extract(w io.Writer, r io.Reader, p Payload) error {
	packed := &packedReader{r: r, left: p.CompressedSize, hash: sha256.New()}
	z, err := zstd.NewReader(packed, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(windowBytes), zstd.WithDecoderLowmem(true))
	if err != nil {
		return packed.blame(err)
	}
	defer z.Close()
	plain := sha256.New()
	out := &sink{w: w, hash: plain}
	n, err := io.CopyBuffer(out, io.LimitReader(onlyReader{z}, p.Size+1), make([]byte, copyBytes))
	switch {
	case out.err != nil:
		return out.err
	case err != nil:
		return packed.blame(err)
	}
	if _, err := io.Copy(io.Discard, packed); err != nil { // what the decoder had no use for is still hashed
		return packed.blame(err)
	}
	if n != p.Size || Digest(packed.hash.Sum(nil)) != p.CompressedSHA256 || Digest(plain.Sum(nil)) != p.SHA256 {
		return fmt.Errorf("%w: its content does not fit its hash: download it again", ErrChanged)
	}
	return nil
}

// onlyReader hides the decoder's WriteTo, which would go past the limit.
type onlyReader struct{ io.Reader }

// A sink writes and hashes; it keeps the writer's error apart from the decoder's.
type sink struct {
	w    io.Writer
	hash hash.Hash
	err  error
}

func (s *sink) Write(p []byte) (int, error) {
	s.hash.Write(p)
	n, err := s.w.Write(p)
	if err != nil {
		s.err = err
	}
	return n, err
}

// A packedReader gives exactly the bytes of one payload, and remembers whether the stream ended early.
type packedReader struct {
	r    io.Reader
	left int64
	hash hash.Hash
	err  error
}

func (p *packedReader) Read(b []byte) (int, error) {
	if p.left == 0 {
		return 0, io.EOF
	}
	n, err := p.r.Read(b[:min(int64(len(b)), p.left)])
	p.hash.Write(b[:n])
	p.left -= int64(n)
	if err != nil && p.left > 0 {
		p.err = short(err)
		return n, p.err
	}
	return n, nil
}

// blame says whether the stream broke or what was in it.
func (p *packedReader) blame(err error) error {
	if p.err != nil {
		return p.err
	}
	return fmt.Errorf("%w: its content does not decompress (%v): download it again", ErrChanged, err)
}

// short turns an early end into ErrTruncated; another error stays what it is.
func short(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return fmt.Errorf("%w: download it again", ErrTruncated)
	}
	return err
}
