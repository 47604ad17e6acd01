package sysapi

import (
	"fmt"

	"ashlar/replica/ic"
)

// Trapped is what ic0.trap was called with.
type Trapped struct{ Message string }

func (t *Trapped) Error() string { return t.Message }

// Violation is a call that the System API refuses. Help, where set, tells the
// author what to do.
type Violation struct{ Text, Help string }

func (v *Violation) Error() string { return v.Text }

// Failed is a trap of another kind, by the text the replica gives it.
type Failed struct{ Text string }

func (f *Failed) Error() string { return f.Text }

// contract begins the text of what breaks the System API's contract.
const contract = "Canister violated contract: "

// violation is a breach of the contract by the toolchain: no source program can ask for it.
func violation(format string, args ...any) error {
	return &Violation{contract + fmt.Sprintf(format, args...), ic.ToolchainHelp}
}

// userViolation is a breach by the canister's author. doc is the section of the
// documentation; without help there is none.
func userViolation(help, doc, format string, args ...any) error {
	if help != "" {
		help += " See documentation: " + doc
	}
	return &Violation{contract + fmt.Sprintf(format, args...), help}
}

func wrongContext(name string, c Context) error {
	return userViolation("Check the ICP documentation to make sure APIs are being called in the correct message types.",
		ic.ErrorDocs+"calling-a-system-api-from-the-wrong-mode", `"%s" cannot be executed in %s mode`, name, c)
}

var errPrincipal = &Violation{"Canister provided invalid principal id", ic.ToolchainHelp}
