package sysapi

import "fmt"

// Trapped is what ic0.trap was called with.
type Trapped struct{ Message string }

func (t *Trapped) Error() string { return t.Message }

// Violation is a breach of the System API's contract. Help, where set, tells the
// author what to do.
type Violation struct{ Text, Help string }

func (v *Violation) Error() string { return v.Text }

// Failed is a trap of another kind, by the text the replica gives it.
type Failed struct{ Text string }

func (f *Failed) Error() string { return f.Text }

const (
	docs          = "https://internetcomputer.org/docs/current/references/execution-errors#"
	toolchainHelp = "This is likely an error with the compiler/CDK toolchain being used to build the canister. " +
		"Please report the error to IC devs on the forum: https://forum.dfinity.org and include which language/CDK was used to create the canister."
	wrongContextHelp = "Check the ICP documentation to make sure APIs are being called in the correct message types. " +
		"See documentation: " + docs + "calling-a-system-api-from-the-wrong-mode"
)

// violation is a fault of the toolchain: no source program can ask for it.
func violation(format string, args ...any) error {
	return &Violation{fmt.Sprintf(format, args...), toolchainHelp}
}

// userViolation is a fault of the canister's author.
func userViolation(help, doc, format string, args ...any) error {
	return &Violation{fmt.Sprintf(format, args...), help + " See documentation: " + docs + doc}
}
