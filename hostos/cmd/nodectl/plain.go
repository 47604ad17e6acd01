package main

import (
	"io"
	"strings"
)

// plain is a terminal for text of others: a node's log, the words of its guest.
// What would move the cursor, or make the terminal answer, is left out.
type plain struct{ io.Writer }

func (p plain) Write(b []byte) (int, error) {
	_, err := io.WriteString(p.Writer, printable(string(b)))
	return len(b), err
}

// printable keeps text, tabs and newlines; control characters go, also those of
// the second set (U+0080 to U+009F), and what is not UTF-8.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' && r != '\n' && r != '\t' || r >= 0x7f && r <= 0x9f {
			return -1
		}
		return r
	}, strings.ToValidUTF8(s, "?"))
}
