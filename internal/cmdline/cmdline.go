// Package cmdline reads what our signed UKI says on the kernel command line.
//
//	ashlar.role=host ashlar.version=0.1.0 ashlar.root=<64 hex> ashlar.blocks=20480
//
// These words choose the root file system, so they are read strictly: a word
// with our prefix that is not known, given twice, or malformed refuses the
// boot. In particular ashlar.config.KEY is accepted nowhere: configuration
// comes from the config partition (host) or from hostlink (guest). The words
// of the kernel itself are not looked at.
package cmdline

import (
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"
)

// Roles.
const (
	Host  = "host"
	Guest = "guest"
)

const (
	prefix    = "ashlar."
	hashBytes = 32
	maxBlocks = 1 << 24 // 64 GiB of 4 KiB blocks: a typing error, not a root
	maxLine   = 4096    // COMMAND_LINE_SIZE is 2048 on x86
)

// CommandLine is the part of the kernel command line that is ours.
type CommandLine struct {
	Role    string
	Version string
	Root    [hashBytes]byte // root hash of the dm-verity tree
	Blocks  uint64          // 4 KiB data blocks; the verity superblock follows
}

// RootHex is the root hash as text.
func (c CommandLine) RootHex() string { return hex.EncodeToString(c.Root[:]) }

// Parse reads a kernel command line.
func Parse(line string) (CommandLine, error) {
	var c CommandLine
	if len(line) > maxLine {
		return c, fmt.Errorf("kernel command line has %d bytes, at most %d are read: build the image again with a shorter one", len(line), maxLine)
	}
	seen := map[string]bool{}
	for word := range strings.FieldsSeq(line) {
		word = strings.Trim(word, `"`)
		if !strings.HasPrefix(word, prefix) {
			continue
		}
		key, value, _ := strings.Cut(word, "=")
		if seen[key] {
			return c, fmt.Errorf("kernel command line says %s twice: remove one", key)
		}
		seen[key] = true
		if err := c.set(key, value); err != nil {
			return c, err
		}
	}
	for _, key := range []string{"ashlar.role", "ashlar.version", "ashlar.root", "ashlar.blocks"} {
		if !seen[key] {
			return c, fmt.Errorf("kernel command line lacks %s=: boot the signed UKI of a release, it carries it", key)
		}
	}
	return c, nil
}

func (c *CommandLine) set(key, value string) error {
	bad := func(want string) error {
		return fmt.Errorf("kernel command line says %s=%.80q: want %s", key, value, want)
	}
	switch key {
	case "ashlar.role":
		if value != Host && value != Guest {
			return bad("host or guest")
		}
		c.Role = value
	case "ashlar.version":
		if value == "" || len(value) > 64 {
			return bad("a version of 1 to 64 bytes")
		}
		c.Version = value
	case "ashlar.root":
		b, err := hex.DecodeString(value)
		if err != nil || len(b) != hashBytes {
			return bad("the verity root hash, 64 hex digits")
		}
		copy(c.Root[:], b)
	case "ashlar.blocks":
		n, err := strconv.ParseUint(value, 10, 64)
		if err != nil || n == 0 || n > maxBlocks {
			return bad(fmt.Sprintf("the number of 4 KiB data blocks, 1 to %d", maxBlocks))
		}
		c.Blocks = n
	default:
		return fmt.Errorf("kernel command line has the unknown word %.80q: nothing but role, version, root and blocks is accepted there, configuration belongs in node.conf", key)
	}
	return nil
}
