// Package did reads the textual forms of Candid: interface files and values.
//
//	"type T = opt nat; service : { inc : (T) -> () }"  ──ParseFile──>   types, service
//	"(opt 42, record { a = true })"                     ──ParseValues──> values, at given types
//
// It is for tools and tests; canisters and nodes use the binary form. Imports
// are not followed. Specification: dfinity/candid spec/Candid.md, "Core Grammar", "Values".
package did

import (
	"fmt"
	"strings"
	"unicode/utf8"
)

// Limits on a text.
const (
	maxText  = 1 << 20 // bytes: interface files have some 10 KB
	maxDepth = 500     // types or values inside each other; it bounds the stack
)

type tokenKind uint8

const (
	end tokenKind = iota
	word
	text   // its content, unescaped
	number // sign apart
	symbol
)

type token struct {
	kind tokenKind
	text string
	line int
}

func (t token) String() string {
	if t.kind == end {
		return "the end"
	}
	return fmt.Sprintf("%q", t.text)
}

type lexer struct {
	src  string
	line int
}

// tokens splits a text.
func tokens(src string) ([]token, error) {
	if len(src) > maxText {
		return nil, fmt.Errorf("text has %d bytes, the limit is %d", len(src), maxText)
	}
	l := &lexer{src: src, line: 1}
	var out []token
	for {
		t, err := l.next()
		if err != nil {
			return nil, fmt.Errorf("line %d: %w", l.line, err)
		}
		out = append(out, t)
		if t.kind == end {
			return out, nil
		}
	}
}

func letter(c byte) bool { return c == '_' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' }
func digit(c byte) bool  { return c >= '0' && c <= '9' }

func (l *lexer) next() (token, error) {
	if err := l.space(); err != nil {
		return token{}, err
	}
	t := token{line: l.line}
	if l.src == "" {
		return t, nil
	}
	switch c := l.src[0]; {
	case letter(c):
		t.kind, t.text = word, l.take(func(i int) bool { return letter(l.src[i]) || digit(l.src[i]) })
	case digit(c):
		t.kind, t.text = number, l.takeNumber()
	case c == '"':
		s, err := l.quoted()
		t.kind, t.text = text, s
		return t, err
	default:
		t.kind, t.text = symbol, l.src[:1]
		for _, s := range []string{"->", "!:", "==", "!="} {
			if strings.HasPrefix(l.src, s) {
				t.text = s
			}
		}
		l.src = l.src[len(t.text):]
	}
	return t, nil
}

func (l *lexer) take(more func(i int) bool) string {
	i := 1
	for i < len(l.src) && more(i) {
		i++
	}
	s := l.src[:i]
	l.src = l.src[i:]
	return s
}

func (l *lexer) takeNumber() string {
	hex := strings.HasPrefix(l.src, "0x")
	return l.take(func(i int) bool {
		c := l.src[i]
		exponent := !hex && (l.src[i-1] == 'e' || l.src[i-1] == 'E')
		return digit(c) || letter(c) || c == '.' || exponent && (c == '-' || c == '+')
	})
}

// space passes over blanks and comments; comments of the second form nest.
func (l *lexer) space() error {
	for l.src != "" {
		switch {
		case strings.HasPrefix(l.src, "//"):
			if i := strings.IndexByte(l.src, '\n'); i >= 0 {
				l.src = l.src[i:]
			} else {
				l.src = ""
			}
		case strings.HasPrefix(l.src, "/*"):
			if err := l.comment(); err != nil {
				return err
			}
		case strings.IndexByte(" \t\r\n", l.src[0]) >= 0:
			if l.src[0] == '\n' {
				l.line++
			}
			l.src = l.src[1:]
		default:
			return nil
		}
	}
	return nil
}

func (l *lexer) comment() error {
	for depth := 0; ; {
		switch {
		case l.src == "":
			return fmt.Errorf("a comment does not end")
		case strings.HasPrefix(l.src, "/*"):
			depth++
			l.src = l.src[2:]
		case strings.HasPrefix(l.src, "*/"):
			depth--
			l.src = l.src[2:]
			if depth == 0 {
				return nil
			}
		default:
			if l.src[0] == '\n' {
				l.line++
			}
			l.src = l.src[1:]
		}
	}
}

var escapes = map[byte]byte{'n': '\n', 'r': '\r', 't': '\t', '\\': '\\', '"': '"', '\'': '\''}

// quoted reads a text or the bytes of a blob: \xx is a byte.
func (l *lexer) quoted() (string, error) {
	var out []byte
	for l.src = l.src[1:]; l.src != ""; l.src = l.src[1:] {
		c := l.src[0]
		switch {
		case c == '"':
			l.src = l.src[1:]
			return string(out), nil
		case c == '\n':
			l.line++
			out = append(out, c)
		case c != '\\':
			out = append(out, c)
		case len(l.src) < 2:
			return "", fmt.Errorf("a text does not end")
		case escapes[l.src[1]] != 0:
			out = append(out, escapes[l.src[1]])
			l.src = l.src[1:]
		case strings.HasPrefix(l.src, `\u{`):
			r, rest, err := codePoint(l.src[3:])
			if err != nil {
				return "", err
			}
			out = utf8.AppendRune(out, r)
			l.src = rest
		default:
			var b byte
			if _, err := fmt.Sscanf(l.src[1:min(3, len(l.src))], "%02x", &b); err != nil || len(l.src) < 3 {
				return "", fmt.Errorf("unknown escape %.3q", l.src)
			}
			out = append(out, b)
			l.src = l.src[2:]
		}
	}
	return "", fmt.Errorf("a text does not end")
}

// codePoint reads hex digits up to the brace, which it leaves.
func codePoint(s string) (rune, string, error) {
	var r rune
	for i := 0; i < len(s) && i < 16; i++ {
		switch c := s[i]; {
		case c == '}' && i > 0 && utf8.ValidRune(r):
			return r, s[i:], nil
		case c == '_' && i > 0:
		case digit(c):
			r = r<<4 | rune(c-'0')
		case c|0x20 >= 'a' && c|0x20 <= 'f':
			r = r<<4 | rune(c|0x20-'a'+10)
		default:
			return 0, "", fmt.Errorf("escape \\u{%.8s is not a code point", s)
		}
		if r > utf8.MaxRune {
			break
		}
	}
	return 0, "", fmt.Errorf("escape \\u{%.8s is not a code point", s)
}
