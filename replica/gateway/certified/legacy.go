package certified

import (
	"bytes"
	"compress/flate"
	"compress/gzip"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"strings"

	"ashlar/replica/wire/hashtree"
)

const (
	unpackedBytes = 64 << 20 // of a compressed body; all assets of version 1 are smaller
	cacheName     = "Cache-Control"
)

// legacy is version 1: only the body is certified, for the path or for all
// paths that are not there. A redirect or a cached error would be anybody's.
func legacy(tree *hashtree.Tree, req *Request, resp *Response) (*Result, error) {
	if resp.Status >= 300 && resp.Status < 400 {
		return nil, fmt.Errorf("status %d: version 1 of response verification certifies no redirects", resp.Status)
	}
	path, err := decodedPath(req.URL)
	if err != nil {
		return nil, err
	}
	want, status := tree.Lookup(hashtree.P("http_assets", path))
	if status == hashtree.Absent {
		path = "/index.html"
		want, status = tree.Lookup(hashtree.P("http_assets", path))
	}
	if status != hashtree.Found {
		return nil, fmt.Errorf("the hash of the asset %q is %s in the tree", path, status)
	}
	if err := checkBody(resp, want); err != nil {
		return nil, fmt.Errorf("the asset %q: %w", path, err)
	}
	kept := make([]Header, 0, len(resp.Headers))
	for _, h := range resp.Headers {
		if !strings.EqualFold(h.Name, cacheName) {
			kept = append(kept, h)
		}
	}
	return &Result{1, kept}, nil
}

// checkBody compares the hash of the body unpacked, else as it came.
func checkBody(resp *Response, want []byte) error {
	encoding := ""
	for _, h := range resp.Headers {
		if strings.EqualFold(h.Name, "Content-Encoding") {
			encoding = strings.ToLower(h.Value)
		}
	}
	d, err := unpacked(resp.Body, encoding)
	if err == nil && string(d[:]) == string(want) {
		return nil
	}
	d = hash(resp.Body)
	if encoding != "" && string(d[:]) == string(want) {
		return nil
	}
	if err != nil {
		return err
	}
	return fmt.Errorf("the body is not the certified one: its hash is %x, not %x", d, want)
}

var errUnpacked = errors.New("the unpacked body is too large")

// unpacked is the hash of a body without its encoding; it is not kept.
func unpacked(body []byte, encoding string) ([32]byte, error) {
	var r io.Reader
	switch encoding {
	case "gzip":
		z, err := gzip.NewReader(bytes.NewReader(body))
		if err != nil {
			return [32]byte{}, err
		}
		r = z
	case "deflate":
		r = flate.NewReader(bytes.NewReader(body))
	default:
		return hash(body), nil
	}
	h := sha256.New()
	n, err := io.Copy(h, io.LimitReader(r, unpackedBytes+1))
	if n > unpackedBytes {
		err = errUnpacked
	}
	return [32]byte(h.Sum(nil)), err
}
