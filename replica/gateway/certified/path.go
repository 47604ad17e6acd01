package certified

import (
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"ashlar/replica/wire/hashtree"
)

const (
	pathPrefix = "http_expr"
	exact      = "<$>"
	wildcard   = "<*>"
)

// checkPath is "Expression Path": path is in the tree and no more specific one
// for this URL may be.
//
//	/a/b  is served by  a b <$>, else by  a b <*>,  a "" <*>,  a <*>,  "" <*>,  <*>
//	/a/   is served by  a "" <$>, else by  a "" <*>,  a <*>,  "" <*>,  <*>
func checkPath(path []string, url string, tree *hashtree.Tree) error {
	if len(path) < 2 || path[0] != pathPrefix {
		return fmt.Errorf("expr_path %q does not begin with %s", path, pathPrefix)
	}
	segments, err := split(url)
	if err != nil {
		return err
	}
	if _, status := tree.Subtree(labels(path)); status != hashtree.Found {
		return fmt.Errorf("expr_path %q is %s in the tree", path, status)
	}
	at, last := path[1:len(path)-1], path[len(path)-1]
	if slices.Contains(at, exact) || slices.Contains(at, wildcard) {
		return fmt.Errorf("expr_path %q has %s or %s before its end", path, exact, wildcard)
	}
	switch last {
	case exact:
		if !slices.Equal(at, segments) {
			return fmt.Errorf("expr_path %q is that of another URL than %q", path, url)
		}
		return nil
	case wildcard:
	default:
		return fmt.Errorf("expr_path %q ends neither with %s nor with %s", path, exact, wildcard)
	}
	if err := absent(tree, segments, exact); err != nil {
		return err
	}
	for _, w := range wildcards(segments, at) {
		if slices.Equal(w, at) {
			return nil
		}
		if err := absent(tree, w, wildcard); err != nil {
			return err
		}
	}
	return fmt.Errorf("expr_path %q does not cover the URL %q", path, url)
}

// absent wants the proof that a more specific path is not in the tree.
func absent(tree *hashtree.Tree, segments []string, end string) error {
	path := append(append([]string{pathPrefix}, segments...), end)
	if _, status := tree.Subtree(labels(path)); status != hashtree.Absent {
		return fmt.Errorf("the path %q is more specific for this URL, and is %s in the tree: its proof of absence is missing", path, status)
	}
	return nil
}

// wildcards are the places of wildcards that cover a URL, the most specific first.
// A wildcard below a/b/ covers the file /a/b if it is the one at hand.
func wildcards(segments, at []string) (out [][]string) {
	dir := len(segments) > 0 && segments[len(segments)-1] == ""
	out = append(out, segments)
	if inside := append(slices.Clone(segments), ""); !dir && slices.Equal(inside, at) {
		out = append(out, inside)
	}
	if dir {
		segments = segments[:len(segments)-1]
		out = append(out, segments)
	}
	for i := len(segments) - 1; i >= 0; i-- {
		out = append(out, append(slices.Clone(segments[:i]), ""), segments[:i])
	}
	return out
}

var errEncoding = errors.New("the URL's path is not UTF-8")

// decodedPath is the URL's path without its percent-encoding; what only looks
// like an encoding stays, as browsers send it.
func decodedPath(target string) (string, error) {
	if i := strings.IndexAny(target, "?#"); i >= 0 {
		target = target[:i]
	}
	path := make([]byte, 0, len(target))
	for i := 0; i < len(target); i++ {
		c := target[i]
		if c == '%' && i+2 < len(target) {
			if b, err := hex.DecodeString(target[i+1 : i+3]); err == nil {
				c, i = b[0], i+2
			}
		}
		path = append(path, c)
	}
	if !utf8.Valid(path) {
		return "", errEncoding
	}
	return string(path), nil
}

// split gives the segments of a URL's path; that of a directory ends with "".
func split(target string) ([]string, error) {
	path, err := decodedPath(target)
	if err != nil {
		return nil, err
	}
	var out []string
	for s := range strings.SplitSeq(path, "/") {
		if s != "" {
			out = append(out, s)
		}
	}
	if strings.HasSuffix(path, "/") {
		out = append(out, "")
	}
	if len(out) > maxSegments {
		return nil, fmt.Errorf("the URL has more than %d segments", maxSegments)
	}
	return out, nil
}
