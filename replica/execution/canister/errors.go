package canister

import (
	"errors"
	"fmt"
	"strings"

	"ashlar/replica/execution/machine"
	"ashlar/replica/execution/sysapi"
	"ashlar/replica/ic"
	"ashlar/replica/state"
	"ashlar/replica/state/pages"
)

// canisterError has the form of all errors that a canister's run ends with; help
// and doc may be empty.
func canisterError(id ic.CanisterID, code ic.ErrorCode, text, help, doc string) *ic.UserError {
	text = fmt.Sprintf("Error from Canister %s: %s", id, text)
	if help != "" {
		text += ".\n" + help // a second full stop, where text has one, as on mainnet
		if doc != "" {
			text += " See documentation: " + ic.ErrorDocs + doc
		}
	}
	return &ic.UserError{Code: code, Message: text}
}

// cleanupFailed is the error of a callback whose cleanup failed too: both texts, with
// whom they are from once, and without help.
func cleanupFailed(id ic.CanisterID, callback, cleanup *ic.UserError) *ic.UserError {
	return canisterError(id, callback.Code, bare(id, callback)+"\n\ncall_on_cleanup also failed:\n\n"+bare(id, cleanup), "", "")
}

// bare is the text that canisterError was given.
func bare(id ic.CanisterID, err *ic.UserError) string {
	text := strings.TrimPrefix(err.Message, "Error from Canister "+id.String()+": ")
	if i := strings.LastIndex(text, ".\n"); i >= 0 {
		text = text[:i]
	}
	return text
}

const handleFailures = "Consider gracefully handling failures from this canister or altering the canister to handle exceptions."

// trapError is what a caller hears of a trap.
func trapError(c *state.Canister, t *machine.Trap, limit machine.Instructions) *ic.UserError {
	var called *sysapi.Trapped
	var violated *sysapi.Violation
	var failed *sysapi.Failed
	switch {
	case errors.As(t.Err, &called):
		return canisterError(c.ID, ic.CanisterCalledTrap, "Canister called `ic0.trap` with message: '"+called.Message+"'"+backtrace(t), handleFailures, "trapped-explicitly")
	case errors.As(t.Err, &violated):
		return canisterError(c.ID, ic.CanisterContractViolation, violated.Text, violated.Help, "")
	case errors.As(t.Err, &failed):
		return canisterError(c.ID, ic.CanisterTrapped, "Canister trapped: "+failed.Text+backtrace(t), handleFailures, "trapped")
	case t.Kind == machine.TrapStableTouched:
		return tooManyPages(c.ID, fmt.Sprintf("accessed pages in the stable memory in a single message execution: limit %d KB for regular messages and %d KB for queries.",
			pagesMessage*pageKB, pagesQuery*pageKB))
	case t.Kind == machine.TrapStableWritten:
		return tooManyPages(c.ID, fmt.Sprintf("modified pages in the stable memory in a single execution: limit %d KB for regular messages, %d KB for upgrade messages and %d KB for queries.",
			pagesMessage*pageKB, pagesUpgrade*pageKB, pagesQuery*pageKB))
	case t.Kind == machine.TrapNoFunction:
		return canisterError(c.ID, ic.CanisterFunctionNotFound, fmt.Sprintf("Canister requested to invoke a non-existent Wasm function %d from table 0", t.Func), ic.ToolchainHelp, "")
	case t.Kind == machine.TrapNoCallback:
		return canisterError(c.ID, ic.CanisterContractViolation, "Canister violated contract: function invocation does not match its signature", ic.ToolchainHelp, "")
	case t.Kind == machine.TrapInstructionLimit:
		return canisterError(c.ID, ic.CanisterInstructionLimitExceeded,
			fmt.Sprintf("Canister exceeded the limit of %d instructions for single message execution.", limit),
			"Try optimizing this method to consume fewer instructions or split the work across multiple messages.", "instruction-limit-exceeded")
	}
	return canisterError(c.ID, ic.CanisterTrapped, "Canister trapped: "+trapText(t), handleFailures, "trapped")
}

const pageKB = pages.Size >> 10

func tooManyPages(id ic.CanisterID, what string) *ic.UserError {
	return canisterError(id, ic.CanisterMemoryAccessLimit, "Canister exceeded memory access limits: Exceeded the limit for the number of "+what,
		"Try optimizing the use of stable memory so that individual messages don't need to access as much stable memory.", "memory-access-limit-exceeded")
}

// trapText is dfinity's word for a trap, and where known the function it was in.
func trapText(t *machine.Trap) string {
	text, ok := map[machine.TrapKind]string{
		machine.TrapUnreachable: "unreachable", machine.TrapHeapBounds: "heap out of bounds", machine.TrapStableBounds: "stable memory out of bounds",
		machine.TrapDivideByZero: "integer division by 0", machine.TrapIntegerOverflow: "integer overflow", machine.TrapBadConversion: "bad conversion to integer",
		machine.TrapTableBounds: "table out of bounds", machine.TrapIndirectCall: "function invocation does not match its signature",
		machine.TrapStackOverflow: "stack overflow",
	}[t.Kind]
	if !ok {
		text = "unknown"
	}
	return text + backtrace(t)
}

// backtrace names the functions that led to a trap, if one of them has a name.
func backtrace(t *machine.Trap) string {
	text, named := "\nCanister Backtrace:\n", false
	for _, f := range t.Frames {
		if named = named || f.Name != ""; f.Name != "" {
			text += f.Name + "\n"
		} else {
			text += fmt.Sprintf("unknown function at index %d\n", f.Index)
		}
	}
	if !named {
		return ""
	}
	return text
}

// trapLog is the line that a canister's log gets.
func trapLog(t *machine.Trap, err *ic.UserError) []byte {
	var called *sysapi.Trapped
	switch {
	case t == nil:
		return []byte("[TRAP]: " + err.Message)
	case errors.As(t.Err, &called):
		if called.Message == "" {
			return []byte("[TRAP]: (no message)" + backtrace(t))
		}
		return []byte("[TRAP]: " + called.Message + backtrace(t))
	case t.Err != nil:
		return []byte("[TRAP]: " + t.Err.Error() + backtrace(t))
	}
	return []byte("[TRAP]: " + trapText(t))
}

// withinLimit holds a heap of so many bytes against the limit that c has set itself.
func withinLimit(c *state.Canister, heap uint64) *ic.UserError {
	limit := c.Settings.MemoryLimit
	if limit == 0 || heap <= limit {
		return nil
	}
	return canisterError(c.ID, ic.CanisterWasmMemoryLimitExceeded, fmt.Sprintf("Canister exceeded its current Wasm memory limit of %d bytes. "+
		"The peak Wasm memory usage was %d bytes. If the canister reaches 4GiB, then it may stop functioning and may become unrecoverable. "+
		"Please reach out to the canister owner to investigate the reason for the increased memory usage. "+
		"It might be necessary to move data from the Wasm memory to the stable memory. "+
		"If such high Wasm memory usage is expected and safe, then the developer can increase the Wasm memory limit in the canister settings.", limit, heap),
		"Try checking the canister for a possible memory leak or modifying it to use more stable memory instead of Wasm memory.", "wasm-memory-limit-exceeded")
}

func noModule(id ic.CanisterID) *ic.UserError {
	return canisterError(id, ic.CanisterWasmModuleNotFound, "Attempted to execute a message, but the canister contains no Wasm module.",
		"Please install code to this canister before calling it.", "wasm-module-not-found")
}

func noMethod(id ic.CanisterID, kind, name string) *ic.UserError {
	return canisterError(id, ic.CanisterMethodNotFound, fmt.Sprintf("Canister has no %s method '%s'.", kind, name),
		"Check that the method being called is exported by the target canister.", "method-not-found")
}

func didNotReply(id ic.CanisterID) *ic.UserError {
	return ic.Errorf(ic.CanisterDidNotReply, "Canister %s did not reply to the call", id)
}

// noReply is the end of a call that its canister forgot.
func noReply(id ic.CanisterID, from *state.Origin) ic.Reply {
	if from.Kind == state.Request {
		return failed(ic.Errorf(ic.CanisterDidNotReply, "No response"))
	}
	return failed(didNotReply(id))
}

// NotFound is the error of a call to a canister that is not there.
func NotFound(id ic.CanisterID) *ic.UserError {
	return ic.Errorf(ic.CanisterNotFound, "Canister %s not found", id)
}

func compositeInCall() *ic.UserError {
	return ic.Errorf(ic.CompositeQueryInReplicatedMode, "Composite query cannot be called in replicated mode")
}

// notRunningAnyMore is NotRunning for a call that the canister took when it ran.
func notRunningAnyMore(c *state.Canister) *ic.UserError {
	err := NotRunning(c)
	if err != nil {
		err.Message = fmt.Sprintf("Canister %s is not running", c.ID)
	}
	return err
}

// NotRunning is the error of a call to a canister that is stopped or stopping;
// nil if it runs.
func NotRunning(c *state.Canister) *ic.UserError {
	switch c.Run {
	case state.Stopped:
		return ic.Errorf(ic.CanisterStopped, "Canister %s is stopped", c.ID)
	case state.Stopping:
		return ic.Errorf(ic.CanisterStopping, "Canister %s is stopping", c.ID)
	}
	return nil
}
