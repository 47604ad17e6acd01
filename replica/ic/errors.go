package ic

import (
	"fmt"
	"unicode/utf8"
)

// RejectCode is the specification's class of a rejection (section "Reject codes").
type RejectCode uint8

// The reject codes.
const (
	SysFatal           RejectCode = 1
	SysTransient       RejectCode = 2
	DestinationInvalid RejectCode = 3
	CanisterReject     RejectCode = 4
	CanisterError      RejectCode = 5
	SysUnknown         RejectCode = 6 // best-effort calls only
)

// ErrorCode is the implementation's finer code, shown as IC0nnn.
type ErrorCode uint16

// The error codes clients know (replica.md A.5).
const (
	SubnetOversubscribed             ErrorCode = 101
	MaxNumberOfCanistersReached      ErrorCode = 102
	CanisterQueueFull                ErrorCode = 201
	IngressMessageTimeout            ErrorCode = 202
	CanisterQueueNotEmpty            ErrorCode = 203
	IngressHistoryFull               ErrorCode = 204
	CanisterIDAlreadyExists          ErrorCode = 205
	StopCanisterRequestTimeout       ErrorCode = 206
	CanisterOutOfCycles              ErrorCode = 207
	CertifiedStateUnavailable        ErrorCode = 208
	CanisterInstallCodeRateLimited   ErrorCode = 209
	CanisterHeapDeltaRateLimited     ErrorCode = 210
	CanisterNotFound                 ErrorCode = 301
	CanisterSnapshotNotFound         ErrorCode = 305
	InsufficientMemoryAllocation     ErrorCode = 402
	InsufficientCyclesForCreate      ErrorCode = 403
	SubnetNotFound                   ErrorCode = 404
	CanisterNotHostedBySubnet        ErrorCode = 405
	CanisterRejectedMessage          ErrorCode = 406
	UnknownManagementMessage         ErrorCode = 407
	InvalidManagementPayload         ErrorCode = 408
	CanisterSnapshotImmutable        ErrorCode = 409
	InvalidSubnetAdmin               ErrorCode = 410
	CanisterTrapped                  ErrorCode = 502
	CanisterCalledTrap               ErrorCode = 503
	CanisterContractViolation        ErrorCode = 504
	CanisterInvalidWasm              ErrorCode = 505
	CanisterDidNotReply              ErrorCode = 506
	CanisterOutOfMemory              ErrorCode = 507
	CanisterStopped                  ErrorCode = 508
	CanisterStopping                 ErrorCode = 509
	CanisterNotStopped               ErrorCode = 510
	CanisterStoppingCancelled        ErrorCode = 511
	CanisterInvalidController        ErrorCode = 512
	CanisterFunctionNotFound         ErrorCode = 513
	CanisterNonEmpty                 ErrorCode = 514
	QueryCallGraphLoopDetected       ErrorCode = 517
	InsufficientCyclesInCall         ErrorCode = 520
	CanisterWasmEngineError          ErrorCode = 521
	CanisterInstructionLimitExceeded ErrorCode = 522
	CanisterMemoryAccessLimit        ErrorCode = 524
	QueryCallGraphTooDeep            ErrorCode = 525
	QueryCallGraphTotalInstructions  ErrorCode = 526
	CompositeQueryInReplicatedMode   ErrorCode = 527
	QueryTimeLimitExceeded           ErrorCode = 528
	QueryCallGraphInternal           ErrorCode = 529
	InsufficientCyclesInComputeAlloc ErrorCode = 530
	InsufficientCyclesInMemoryAlloc  ErrorCode = 531
	InsufficientCyclesInMemoryGrow   ErrorCode = 532
	ReservedCyclesLimitInMemoryAlloc ErrorCode = 533
	ReservedCyclesLimitInMemoryGrow  ErrorCode = 534
	InsufficientCyclesInMessageGrow  ErrorCode = 535
	CanisterMethodNotFound           ErrorCode = 536
	CanisterWasmModuleNotFound       ErrorCode = 537
	CanisterAlreadyInstalled         ErrorCode = 538
	CanisterWasmMemoryLimitExceeded  ErrorCode = 539
	ReservedCyclesLimitIsTooLow      ErrorCode = 540
	InvalidControllerOrSubnetAdmin   ErrorCode = 541
	CanisterStatusAccessDenied       ErrorCode = 542
	DeadlineExpired                  ErrorCode = 601
	ResponseDropped                  ErrorCode = 602
)

// String is the form clients match on, such as IC0503.
func (e ErrorCode) String() string { return fmt.Sprintf("IC%04d", uint16(e)) }

// RejectCode is the class of the error. The table is frozen: clients see both.
func (e ErrorCode) RejectCode() RejectCode {
	switch e {
	case CanisterOutOfCycles, CertifiedStateUnavailable:
		return SysTransient
	case InsufficientMemoryAllocation, InsufficientCyclesForCreate, SubnetNotFound, CanisterNotHostedBySubnet,
		CanisterRejectedMessage, UnknownManagementMessage, InvalidManagementPayload:
		return CanisterReject
	case SubnetOversubscribed, MaxNumberOfCanistersReached:
		return SysFatal
	}
	switch e / 100 {
	case 1:
		return SysFatal
	case 2:
		return SysTransient
	case 3:
		return DestinationInvalid
	case 4:
		return CanisterReject
	case 5:
		return CanisterError
	}
	return SysUnknown
}

// UserError is a rejection with its reason, as a user sees it.
type UserError struct {
	Code    ErrorCode
	Message string
}

// ErrorDocs is where mainnet explains its errors: the name of a section follows.
const ErrorDocs = "https://docs.internetcomputer.org/references/execution-errors#"

// ToolchainHelp is mainnet's advice on faults that no source program can ask for.
const ToolchainHelp = "If you are running this canister in a test environment (e.g., dfx), make sure the test environment is up to date. " +
	"Otherwise, this is likely an error with the compiler/CDK toolchain being used to build the canister. " +
	"Please report the error to IC devs on the forum: https://forum.dfinity.org and include which language/CDK was used to create the canister."

// Errorf makes a UserError.
func Errorf(code ErrorCode, format string, args ...any) *UserError {
	return &UserError{code, fmt.Sprintf(format, args...)}
}

func (e *UserError) Error() string { return e.Code.String() + ": " + e.Message }

// Reply is the end of a call or query: Reject is nil for a reply.
type Reply struct {
	Data   []byte
	Reject *Reject
}

// Reject is a rejection; Code is zero where there is only a class, as in
// one that a canister made with ic0.msg_reject.
type Reject struct {
	Class   RejectCode
	Code    ErrorCode
	Message string
}

// maxRejectText is the most bytes of a text that the network makes: it is part of the state.
const maxRejectText = 8 << 10

// Reject turns an error into the rejection a caller sees.
func (e *UserError) Reject() *Reject {
	return &Reject{Class: e.Code.RejectCode(), Code: e.Code, Message: shorten(e.Message, maxRejectText, 50)}
}

// ToCanister is the rejection as another canister gets it: it has no code beside the
// text, and its text is short, whoever wrote it.
func (j *Reject) ToCanister() *Reject {
	short := *j
	short.Message = shorten(j.Message, maxRejectText, 75)
	return &short
}

// shorten leaves out the middle of what is longer than limit bytes; before it lies
// share percent of the limit.
func shorten(s string, limit, share int) string {
	const gap = "..."
	if len(s) <= limit {
		return s
	}
	head := min(limit*share/100, limit-len(gap))
	tail := len(s) - (limit - len(gap) - head)
	for head > 0 && !utf8.RuneStart(s[head]) {
		head--
	}
	for tail < len(s) && !utf8.RuneStart(s[tail]) {
		tail++
	}
	return s[:head] + gap + s[tail:]
}
