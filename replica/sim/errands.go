package sim

import (
	"math/rand/v2"

	"ashlar/replica/ic"
	"ashlar/replica/spectest/script"
)

// method of the canisters that does what its argument says.
const method = "do"

// Where a canister keeps its books, and what it needs to run.
const (
	keptAt    = 0x08 // of script: where the next callback is kept, 0: where the first was
	tokensAt  = 0x20
	sentAt    = 0x28 // calls, to anybody
	heardAt   = 0x30 // their answers
	unsureAt  = 0x38 // tokens that were sent along with calls whose end nobody knows
	loopAt    = 0x40
	pointerAt = 0x48
	fillAt    = 0x70_0000 // pages of the plan
	argAt     = 0x48_0000 // of script: the message's argument
)

// errands are drawn: what a canister does for a message.
//
//	credit ── work ── calls that nobody waits for ──┬─ reply, reject, trap, or silence
//	                                                └─ a call; the same ends in its callbacks
//
// A token moves with a call: the caller takes it off its books, and puts it back if the
// call is rejected; the callee, who has put it on its own, takes it off if it rejects. So
// whoever loses a message, or hears one twice, has books that do not match.
type errands struct{ r *rand.Rand }

// book adds to one of the books.
func book(at, n uint64) script.Script {
	return script.Script(nil).Push(at).Push(at).Load().Push(n).Add().Store()
}

// beginning is what a canister does when it is installed; it fills so many pages.
func beginning(pages int) script.Script {
	s := book(tokensAt, savings)
	if pages > 0 {
		each := book(pointerAt, 4096).Push(pointerAt).Load().Push(loopAt).Load().Store()
		s = s.Push(uint64(pages)*4096>>16+1).Grow().Drop().Then(book(pointerAt, fillAt-4096)).Repeat(pages, loopAt, each)
	}
	return s
}

// ofUser is an errand of a user.
func (e *errands) ofUser(to byte) script.Script {
	s := reclaim()
	switch k := e.r.IntN(16); {
	case k < 1:
		s = s.Hook(script.Timer, e.hook()).API("time").Push(uint64(e.r.IntN(3e9))).Add().API("global_timer_set").Drop()
	case k < 2 && to == 0: // it has a heartbeat; to beat on would leave no rest
		s = s.Hook(script.Heartbeat, script.Script(nil).Hook(script.Heartbeat, nil).Then(e.hook()))
	}
	return s.Then(e.errand(0, 3))
}

// loopInstructions is what a turn of an empty loop takes.
const loopInstructions = 339

// long is an errand that takes so many rounds, and then calls somebody.
func (e *errands) long(rounds int) script.Script {
	return script.Script(nil).Repeat(max(rounds, 1)*slice/loopInstructions, loopAt, nil).Then(e.send(0, true, 1))
}

// hook is an errand of nobody.
func (e *errands) hook() script.Script {
	return e.loop().Then(e.send(0, false, 0))
}

// reclaim the room of old callbacks, before it is full: it is for some hundreds of calls,
// and the oldest have long been answered.
func reclaim() script.Script {
	return script.Script(nil).Push(keptAt).Load().Push(0xf_0000).Divide().If(script.Script(nil).Push(keptAt).Push(0).Store())
}

// errand that has to answer. It owes tokens: it is to take them off again if it rejects.
func (e *errands) errand(owed uint64, depth int) script.Script {
	s := e.work()
	if depth > 0 && e.r.IntN(3) == 0 {
		for range 1 + e.r.IntN(3) {
			s = s.Then(e.send(0, false, max(depth-2, 0)))
		}
	}
	if depth > 0 && e.r.IntN(3) > 0 {
		return s.Then(e.send(owed, true, depth-1))
	}
	return s.Then(e.end(owed, true))
}

// end of an errand that has to answer.
func (e *errands) end(owed uint64, mayTrap bool) script.Script {
	back := book(tokensAt, -owed)
	switch k := e.r.IntN(10); {
	case k < 1:
		return back.Reject("no")
	case k < 2:
		return back // silence is a rejection
	case k < 4 && mayTrap:
		return script.Script(nil).Trap("as drawn")
	}
	return script.Script(nil).Reply([]byte{byte(e.r.Uint32())})
}

// work takes time, or memory, or nothing.
func (e *errands) work() (s script.Script) {
	switch e.r.IntN(16) {
	case 0:
		return e.loop()
	case 1, 2:
		return s.Push(1).API("stable64_grow").Drop().Push(e.r.Uint64N(1 << 15)).Push(argAt).Push(e.r.Uint64N(1 << 15)).API("stable64_write")
	}
	return nil
}

// loop takes up to five rounds, and now and then up to fifty: deadlines pass meanwhile.
func (e *errands) loop() script.Script {
	n := 1 + e.r.IntN(5*slice/loopInstructions)
	if e.r.IntN(16) == 0 {
		n *= 10
	}
	return script.Script(nil).Repeat(n, loopAt, nil)
}

// send makes a call with tokens. What it owes itself it answers in the callbacks, if
// somebody waits.
func (e *errands) send(owed uint64, waits bool, depth int) script.Script {
	heard := book(heardAt, 1)
	if e.r.IntN(12) == 0 && !waits { // an answer that takes another round
		return book(sentAt, 1).Call(script.Outgoing{To: []byte(ic.Management), Method: "raw_rand", Arg: []byte("DIDL\x00\x00"), OnReply: heard, OnReject: heard})
	}
	amount, to := uint64(1+e.r.IntN(1000)), account(byte(e.r.IntN(accounts)))
	o := script.Outgoing{To: to.Bytes(), Method: method, Cycles: e.r.Uint64N(1e9)}
	credit := reclaim().Then(book(tokensAt, amount)).Push(0).Push(e.r.Uint64N(1e9)).Push(script.Scratch).API("msg_cycles_accept128")
	o.Arg = credit.Then(e.errand(amount, depth))
	undo := book(tokensAt, amount)
	if e.r.IntN(4) == 0 { // best effort; 6: nobody knows
		o.Timeout = uint32(1 + e.r.IntN(3))
		unknown := script.Script(nil).API("msg_reject_code").Push(6).Equal()
		undo = unknown.If(book(unsureAt, amount)).Then(unknown).Push(0).Equal().If(undo)
	}
	o.OnReply, o.OnReject, o.OnCleanup = heard.Then(e.work()), heard.Then(undo).Then(e.work()), heard.Then(book(tokensAt, -owed))
	if waits {
		o.OnReply, o.OnReject = o.OnReply.Then(e.end(owed, true)), o.OnReject.Then(e.end(owed, false))
	} else if e.r.IntN(8) == 0 {
		o.OnReply = o.OnReply.Trap("as drawn")
	}
	return book(tokensAt, -amount).Then(book(sentAt, 1)).Call(o)
}
