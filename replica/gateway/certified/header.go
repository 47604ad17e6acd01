package certified

import (
	"encoding/base64"
	"errors"
	"fmt"
	"strings"

	"ashlar/replica/wire/cbor"
	"ashlar/replica/wire/cert"
	"ashlar/replica/wire/hashtree"
)

const (
	certificateBytes = 64 << 10 // encoded; with a delegation of the old form and its ranges mainnet's have some KiB
	treeBytes        = 64 << 10 // encoded; a witness among 10,000 assets has 2 KiB. It bounds the lookups, too
	maxSegments      = 64       // of a path: each costs two lookups
)

// header is IC-Certificate, decoded.
type header struct {
	certificate *cert.Certificate
	tree        *hashtree.Tree
	version     int
	path        []string // of version 2
}

// parseHeader reads a dictionary such as
//
//	certificate=:BASE64:, tree=:BASE64:, version=2, expr_path=:BASE64:
func parseHeader(value string) (*header, error) {
	fields := map[string]string{}
	for item := range strings.SplitSeq(value, ",") {
		name, v, ok := strings.Cut(strings.TrimSpace(item), "=")
		if !ok || name == "" {
			return nil, fmt.Errorf("%s: %.40q is not a field name=value", certificateName, item)
		}
		if _, twice := fields[name]; twice {
			return nil, fmt.Errorf("%s: the field %.40q is there twice", certificateName, name)
		}
		if inner, found := strings.CutPrefix(v, ":"); found {
			v = strings.TrimSuffix(inner, ":")
		}
		fields[name] = v
	}
	h := &header{}
	var err error
	switch fields["version"] {
	case "", "1":
		h.version = 1
	case "2":
		h.version = 2
	default:
		return nil, fmt.Errorf("%s: version %.40q is neither 1 nor 2", certificateName, fields["version"])
	}
	raw, err := binary(fields, "certificate", certificateBytes)
	if err != nil {
		return nil, err
	}
	if h.certificate, err = cert.Decode(raw); err != nil {
		return nil, fmt.Errorf("%s: %w", certificateName, err)
	}
	if h.tree, err = parseTree(fields); err != nil {
		return nil, err
	}
	if h.version == 2 {
		h.path, err = parsePath(fields)
	}
	return h, err
}

func parseTree(fields map[string]string) (*hashtree.Tree, error) {
	raw, err := binary(fields, "tree", treeBytes)
	if err != nil {
		return nil, err
	}
	t := new(hashtree.Tree)
	if err := cbor.UnmarshalTree(raw, t); err != nil {
		return nil, fmt.Errorf("%s: tree: %w", certificateName, err)
	}
	return t, nil
}

func parsePath(fields map[string]string) (path []string, err error) {
	raw, err := binary(fields, "expr_path", treeBytes)
	if err != nil {
		return nil, err
	}
	if err := cbor.Unmarshal(raw, &path); err != nil {
		return nil, fmt.Errorf("%s: expr_path: %w", certificateName, err)
	}
	if len(path) > maxSegments {
		return nil, fmt.Errorf("%s: expr_path has %d segments, the limit is %d", certificateName, len(path), maxSegments)
	}
	return path, nil
}

var errBase64 = errors.New("it is not base64")

// binary decodes a field, with padding or without.
func binary(fields map[string]string, name string, limit int) ([]byte, error) {
	text, ok := fields[name]
	if !ok {
		return nil, fmt.Errorf("%s has no field %s", certificateName, name)
	}
	if len(text) > limit {
		return nil, fmt.Errorf("%s: %s has %d bytes, the limit is %d", certificateName, name, len(text), limit)
	}
	raw, err := base64.RawStdEncoding.DecodeString(strings.TrimRight(text, "="))
	if err != nil {
		return nil, fmt.Errorf("%s: %s: %w", certificateName, name, errBase64)
	}
	return raw, nil
}
