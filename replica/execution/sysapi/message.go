package sysapi

import (
	"unicode/utf8"

	"ashlar/replica/execution/machine"
	"ashlar/replica/ic"
)

// This file: what the message is, and how it is answered.

func argSize(e *Env, _ machine.Caller, a []uint64) error {
	a[0] = uint64(len(e.Arg))
	return nil
}

func argCopy(e *Env, c machine.Caller, a []uint64) error {
	return copyOut(c, "msg_arg_data_copy", a, e.Arg, "payload")
}

func callerSize(e *Env, _ machine.Caller, a []uint64) error {
	a[0] = uint64(len(e.Caller))
	return nil
}

func callerCopy(e *Env, c machine.Caller, a []uint64) error {
	return copyOut(c, "msg_caller_copy", a, e.Caller.Bytes(), "id")
}

// info is empty for a caller about whom nobody attested anything.
func (e *Env) info() ic.SenderInfo {
	if e.Info == nil {
		return ic.SenderInfo{}
	}
	return *e.Info
}

func infoSize(e *Env, _ machine.Caller, a []uint64) error {
	a[0] = uint64(len(e.info().Info))
	return nil
}

func infoCopy(e *Env, c machine.Caller, a []uint64) error {
	return copyOut(c, "msg_caller_info_data_copy", a, e.info().Info, "data")
}

func signerSize(e *Env, _ machine.Caller, a []uint64) error {
	a[0] = uint64(len(e.info().Signer))
	return nil
}

func signerCopy(e *Env, c machine.Caller, a []uint64) error {
	return copyOut(c, "msg_caller_info_signer_copy", a, e.info().Signer.Bytes(), "id")
}

func rejectCode(e *Env, _ machine.Caller, a []uint64) error {
	a[0] = 0
	if e.Reject != nil {
		a[0] = uint64(e.Reject.Class)
	}
	return nil
}

func (e *Env) rejectMessage() []byte {
	if e.Reject == nil {
		return nil
	}
	return []byte(e.Reject.Message)
}

func rejectSize(e *Env, _ machine.Caller, a []uint64) error {
	a[0] = uint64(len(e.rejectMessage()))
	return nil
}

func rejectCopy(e *Env, c machine.Caller, a []uint64) error {
	return copyOut(c, "msg_reject_msg_copy", a, e.rejectMessage(), "msg")
}

func deadline(e *Env, _ machine.Caller, a []uint64) error {
	a[0] = uint64(e.Deadline)
	return nil
}

// mayAnswer tells whether the call waits for an answer.
func (e *Env) mayAnswer() bool { return e.Answers && e.Answer == nil }

func (e *Env) maxReply() uint64 {
	if e.Replicated {
		return maxReplyBytes
	}
	return maxQueryReplyBytes
}

func replyAppend(e *Env, c machine.Caller, a []uint64) error {
	if !e.mayAnswer() {
		return violation("ic0.msg_reply_data_append: the call is already replied.")
	}
	if n := uint64(len(e.reply)) + min(a[1], 1<<40); n > e.maxReply() {
		return userViolation("Consider checking the response size and returning an error if it is too long.", ic.ErrorDocs+"msg_reply_data_append-payload-too-large",
			"ic0.msg_reply_data_append: application payload size (%d) cannot be larger than %d.", n, e.maxReply())
	}
	src, err := Slice("msg.reply", c.Heap(), a[0], a[1])
	if err != nil {
		return err
	}
	e.reply = append(e.reply, src...)
	return nil
}

func reply(e *Env, _ machine.Caller, _ []uint64) error {
	if !e.mayAnswer() {
		return violation("ic0.msg_reply: the call is already replied")
	}
	e.Answer = &ic.Reply{Data: e.reply}
	if e.reply == nil {
		e.Answer.Data = []byte{}
	}
	e.reply = nil
	return nil
}

func reject(e *Env, c machine.Caller, a []uint64) error {
	if !e.mayAnswer() {
		return violation("ic0.msg_reject: the call is already replied")
	}
	if a[1] > e.maxReply() {
		return userViolation("Try truncating the error messages that are too long.", ic.ErrorDocs+"msg_reject-payload-too-large",
			"ic0.msg_reject: application payload size (%d) cannot be larger than %d.", a[1], e.maxReply())
	}
	src, err := heapSlice(c, "msg_reject", a[0], a[1])
	if err != nil {
		return err
	}
	if !utf8.Valid(src) {
		return violation("ic0.msg_reject: invalid UTF-8 string provided")
	}
	e.Answer = &ic.Reply{Reject: &ic.Reject{Class: ic.CanisterReject, Code: ic.CanisterRejectedMessage, Message: string(src)}}
	e.reply = nil
	return nil
}

func methodSize(e *Env, _ machine.Caller, a []uint64) error {
	a[0] = uint64(len(e.Method))
	return nil
}

func methodCopy(e *Env, c machine.Caller, a []uint64) error {
	return copyOut(c, "msg_method_name_copy", a, []byte(e.Method), "payload")
}

func acceptMessage(e *Env, _ machine.Caller, _ []uint64) error {
	if e.Admit {
		return violation("ic0.accept_message: the function was already called.")
	}
	e.Admit = true
	return nil
}
