package wasm

import (
	"strconv"
	"strings"
	"unicode/utf8"
)

// Demangle turns the name that the Rust compiler gives a function into the one that
// its author knows: _ZN4core9panicking5panic17h0123456789abcdefE is core::panicking::panic.
// Other names stay as they are.
func Demangle(name string) string {
	rest, ok := strings.CutPrefix(strings.TrimPrefix(name, "_"), "ZN")
	if !ok {
		return name
	}
	var parts []string
	for !strings.HasPrefix(rest, "E") {
		digits := len(rest) - len(strings.TrimLeft(rest, "0123456789"))
		n, err := strconv.Atoi(rest[:digits])
		if err != nil || n == 0 || n > len(rest)-digits {
			return name
		}
		parts = append(parts, rest[digits:digits+n])
		rest = rest[digits+n:]
	}
	if len(parts) > 1 && isHash(parts[len(parts)-1]) {
		parts = parts[:len(parts)-1]
	}
	if len(parts) == 0 {
		return name
	}
	for i, p := range parts {
		parts[i] = unescape(p)
	}
	return strings.Join(parts, "::")
}

// isHash tells whether a part is the compiler's own mark: h and 16 hexadecimal digits.
func isHash(p string) bool {
	_, err := strconv.ParseUint(strings.TrimPrefix(p, "h"), 16, 64)
	return len(p) == 17 && p[0] == 'h' && err == nil
}

// escapes of characters that names in a module may not have.
var escapes = map[string]string{"SP": "@", "BP": "*", "RF": "&", "LT": "<", "GT": ">", "LP": "(", "RP": ")", "C": ","}

func unescape(p string) string {
	if strings.HasPrefix(p, "_$") {
		p = p[1:]
	}
	var b strings.Builder
	for p != "" {
		switch {
		case strings.HasPrefix(p, ".."):
			b.WriteString("::")
			p = p[2:]
			continue
		case p[0] == '$':
			code, rest, closed := strings.Cut(p[1:], "$")
			if text, ok := escaped(code); closed && ok {
				b.WriteString(text)
				p = rest
				continue
			}
		}
		b.WriteByte(p[0])
		p = p[1:]
	}
	return b.String()
}

func escaped(code string) (string, bool) {
	if text, ok := escapes[code]; ok {
		return text, true
	}
	hex, isUnicode := strings.CutPrefix(code, "u")
	r, err := strconv.ParseUint(hex, 16, 32)
	if !isUnicode || err != nil || r < ' ' || !utf8.ValidRune(rune(r)) {
		return "", false
	}
	return string(rune(r)), true
}
