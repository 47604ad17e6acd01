package management

import (
	"fmt"

	"ashlar/replica/execution/canister"
	"ashlar/replica/ic"
	"ashlar/replica/state"
	"ashlar/replica/wire/candid"
)

// This file: snapshots of canisters. A snapshot's id is the canister's id and a
// number of 8 bytes.

const maxSnapshots = 10 // per canister

// snapshotWork is what taking or loading a snapshot costs at least, in instructions.
const snapshotWork = 2_000_000_000

func snapshotID(c ic.CanisterID, key string) []byte { return append(c.Bytes(), key...) }

// splitSnapshotID is the inverse.
func splitSnapshotID(id []byte) (c ic.CanisterID, key string, ok bool) {
	if len(id) < 8 {
		return c, "", false
	}
	p, err := ic.PrincipalFromBytes(id[:len(id)-8])
	return ic.CanisterID{Principal: p}, string(id[len(id)-8:]), err == nil
}

func snapshotText(id []byte) string { return fmt.Sprintf("%x", id) }

func noSnapshot(c ic.CanisterID, id []byte) *ic.UserError {
	return ic.Errorf(ic.CanisterSnapshotNotFound, "Could not find the snapshot ID %s for canister %s.\nUse the `list_canister_snapshot` API to see which snapshots are present. See documentation: %scanister-snapshot-not-found", snapshotText(id), c, ic.ErrorDocs)
}

// ownSnapshot finds a snapshot of c.
func (x *call) ownSnapshot(c *state.Canister, id []byte) (string, *state.Snapshot, *ic.UserError) {
	owner, key, ok := splitSnapshotID(id)
	from := c
	if ok && owner != c.ID {
		from = x.Canister(owner)
	}
	if !ok || from == nil {
		return "", nil, noSnapshot(c.ID, id)
	}
	s, found := from.Snapshots.Get(key)
	switch {
	case !found:
		return "", nil, noSnapshot(c.ID, id)
	case from != c:
		return "", nil, ic.Errorf(ic.CanisterRejectedMessage, "The snapshot %s does not belong to canister %s.\nUse the `list_canister_snapshot` API to see which snapshots are present. See documentation: %scanister-snapshot-invalid-ownership", snapshotText(id), c.ID, ic.ErrorDocs)
	}
	return key, s, nil
}

func infoOfSnapshot(c *state.Canister, key string, s *state.Snapshot) snapshotInfo {
	return snapshotInfo{snapshotID(c.ID, key), uint64(s.Taken), s.Size}
}

func takeSnapshot(x *call) ([]byte, *ic.UserError) {
	var in takeArgs
	if err := decode(x.msg.Arg, &in); err != nil {
		return nil, err
	}
	c, err := x.controlled(in.Canister)
	if err != nil {
		return nil, err
	}
	if c.Module == nil {
		return nil, ic.Errorf(ic.CanisterRejectedMessage, "Failed to create snapshot for empty canister %s:", c.ID)
	}
	if err := x.makeRoom(c, in.Replace); err != nil {
		return nil, err
	}
	timer, hook := c.Timer, c.LowMemory
	s := &state.Snapshot{
		Taken: x.Now, Version: c.Version, Certified: c.Certified, Timer: &timer, LowMemory: &hook, Module: c.Module, Globals: c.Memory.Globals,
		HeapBytes: c.HeapBytes, StableBytes: c.StableBytes, CodeBytes: c.Module.Bytes, Memory: c.Memory, Chunks: c.Chunks,
	}
	uninstall := in.Uninstall != nil && *in.Uninstall
	key, err := x.store(c, s, uninstall)
	if err != nil {
		return nil, err
	}
	if uninstall {
		x.Empty(c, "Canister has been uninstalled.")
		x.remember(c, in.Version, state.Change{Kind: state.CodeUninstall})
	}
	x.Put(c)
	return candid.Marshal(infoOfSnapshot(c, key, s)), nil
}

// makeRoom removes the snapshot to be replaced, and checks the number of those left.
func (x *call) makeRoom(c *state.Canister, replace *[]byte) *ic.UserError {
	if replace != nil {
		key, _, err := x.ownSnapshot(c, *replace)
		if err != nil {
			return err
		}
		c.Snapshots = c.Snapshots.Without(key)
	} else if c.Snapshots.Len() >= maxSnapshots {
		return ic.Errorf(ic.CanisterRejectedMessage, "Canister %s has reached the maximum number of snapshots allowed: %d.\nConsider deleting an unnecessary snapshot of the specified canister before creating a new one. See documentation: canister-snapshot-limit-exceeded", c.ID, maxSnapshots)
	}
	return nil
}

// slowEnough refuses to write for a canister that has written too much in the last rounds.
func (x *call) slowEnough(c *state.Canister) *ic.UserError {
	if debit, limit, fast := x.WritesTooFast(c); fast {
		return ic.Errorf(ic.CanisterHeapDeltaRateLimited, "Canister %s is heap delta rate limited: current delta debit is %d, but limit is %d.\nTry waiting a few seconds before retrying the operation. See documentation: %scanister-heap-delta-rate-limited", c.ID, debit, limit, ic.ErrorDocs)
	}
	return nil
}

// store puts a snapshot into c, which pays for making it and must afford to keep it,
// without what it has else where that is to go.
func (x *call) store(c *state.Canister, s *state.Snapshot, uninstall bool) (string, *ic.UserError) {
	if err := x.slowEnough(c); err != nil {
		return "", err
	}
	s.Size = s.HeapBytes + s.StableBytes + s.CodeBytes + uint64(s.Chunks.Len())*state.ChunkBytes + uint64(len(s.Certified)) + 8*uint64(len(s.Globals))
	key := state.ID(c.NextSnapshot)
	c.NextSnapshot++
	c.Snapshots = c.Snapshots.With(key, s)
	then := *c
	if uninstall {
		then.Module, then.Memory, then.HeapBytes, then.StableBytes = nil, &state.Memory{}, 0, 0
		then.ClearChunks()
	}
	if err := x.fits(&then); err != nil {
		return "", err
	}
	c.Cycles, c.Reserved = then.Cycles, then.Reserved
	if err := x.charge(c, snapshotWork+s.Size); err != nil {
		return "", err
	}
	x.Wrote(c, s.Size)
	return key, nil
}

// charge lets c pay for instructions that the system spent on it.
func (x *call) charge(c *state.Canister, instructions uint64) *ic.UserError {
	if missing := x.withdraw(c, instructions); !missing.IsZero() {
		return ic.Errorf(ic.CanisterOutOfCycles, "Canister snapshotting failed with: `%s`\nTry sending more cycles with the request. See documentation: canister-snapshot-not-enough-cycles", x.outOfCycles(c, missing))
	}
	return nil
}

func (x *call) outOfCycles(c *state.Canister, missing ic.Cycles) string {
	text := fmt.Sprintf("Canister %s is out of cycles", c.ID)
	if c.Settings.Controls(x.caller) {
		text += fmt.Sprintf(": please top up the canister with at least %s additional cycles", missing)
	}
	return text
}

// withdraw takes the price of instructions, or tells how many cycles are missing.
func (x *call) withdraw(c *state.Canister, instructions uint64) (missing ic.Cycles) {
	cost := x.Subnet.Costs.Instructions(instructionsOf(instructions), false)
	need := canister.Freezing(x.Subnet.Costs, c).Add(cost)
	if missing, short := need.Sub(c.Cycles); short && !missing.IsZero() {
		return missing
	}
	c.Cycles, _ = c.Cycles.Sub(cost)
	c.Consumed.Instructions = c.Consumed.Instructions.Add(cost)
	x.Head.Burned = x.Head.Burned.Add(cost)
	x.used += instructionsOf(instructions)
	return ic.Cycles{}
}

// fits checks that there is room for what c, a private copy, now takes, and that
// it can pay for it.
func (x *call) fits(c *state.Canister) *ic.UserError {
	g := canister.Growth{ByUser: true, Caller: x.caller}
	if old := x.Canister(c.ID); old != nil {
		g.Before = old.MemoryTaken()
	}
	return x.Grow(c, g)
}

func loadSnapshot(x *call) ([]byte, *ic.UserError) {
	var in snapshotArgs
	if err := decode(x.msg.Arg, &in); err != nil {
		return nil, err
	}
	c, err := x.controlled(in.Canister)
	if err != nil {
		return nil, err
	}
	if err := x.slowEnough(c); err != nil {
		return nil, err
	}
	owner, s, err := x.loadable(c, in.ID)
	if err != nil {
		return nil, err
	}
	module, memory := s.Module, s.Memory
	if s.Uploaded {
		if module, memory, err = x.assemble(c, s); err != nil {
			return nil, err
		}
	}
	was := *c
	c.Module, c.Memory = module, &state.Memory{Heap: memory.Heap, Stable: memory.Stable, Globals: memory.Globals}
	c.HeapBytes, c.StableBytes, c.Certified, c.Chunks = s.HeapBytes, s.StableBytes, s.Certified, s.Chunks
	if s.Uploaded { // one that was taken leaves both as they are
		if err := restoreHooks(c, s); err != nil {
			return nil, err
		}
	}
	c.WatchMemory()
	if err := x.SectionsFit(&was, c); err != nil {
		return nil, err
	}
	if err := x.fits(c); err != nil {
		return nil, err
	}
	if err := x.charge(c, snapshotWork+s.Size); err != nil {
		return nil, err
	}
	x.Wrote(c, s.Size)
	x.Cool(c.ID)
	c.Version++
	c.Installed = x.Now
	from := &state.LoadedFrom{ID: in.ID, Version: s.Version, Taken: s.Taken, Uploaded: s.Uploaded}
	if owner != c.ID {
		from.Canister = &owner
	}
	x.remember(c, in.Version, state.Change{Kind: state.LoadSnapshot, Snapshot: from})
	x.Put(c)
	return nothing, nil
}

// restoreHooks gives c, which has the memory of snapshot s, the snapshot's timer and
// state of the low-memory hook. That must be one that such memory can have.
func restoreHooks(c *state.Canister, s *state.Snapshot) *ic.UserError {
	if s.Timer != nil {
		c.Timer = *s.Timer
	}
	if s.LowMemory == nil {
		return nil
	}
	is := *c
	is.WatchMemory()
	if low := is.LowMemory != state.HookIdle; low != (*s.LowMemory != state.HookIdle) {
		name := map[state.HookState]string{state.HookIdle: "ConditionNotSatisfied", state.HookReady: "Ready", state.HookExecuted: "Executed"}[*s.LowMemory]
		return ic.Errorf(ic.InvalidManagementPayload, "Hook status (Some(%s)) of uploaded snapshot is inconsistent with the canister's state (hook condition satisfied: %t).", name, low)
	}
	c.LowMemory = *s.LowMemory
	return nil
}

// loadable finds a snapshot that may be loaded onto c: its own, or that of
// another canister of the same controller.
func (x *call) loadable(c *state.Canister, id []byte) (ic.CanisterID, *state.Snapshot, *ic.UserError) {
	owner, key, ok := splitSnapshotID(id)
	if !ok {
		return owner, nil, noSnapshot(c.ID, id)
	}
	from := x.Canister(owner)
	if from == nil {
		return owner, nil, noSnapshot(c.ID, id)
	}
	s, found := from.Snapshots.Get(key)
	if !found {
		return owner, nil, noSnapshot(c.ID, id)
	}
	if !from.Settings.Controls(x.caller) {
		return owner, nil, ic.Errorf(ic.CanisterRejectedMessage, "Only a controller of the canister that snapshot %s belongs to can load it on canister %s. Sender: %s.\nMake sure you are a controller of the canister that the snapshot belongs to. See documentation: canister-snapshot-not-controller", snapshotText(id), c.ID, x.caller)
	}
	return owner, s, nil
}

func (x *call) maySeeSnapshots(c *state.Canister) *ic.UserError {
	if c.Settings.Controls(x.caller) || c.Settings.SnapshotsVisible.Allows(x.caller) {
		return nil
	}
	return notController(c, x.caller)
}

func listSnapshots(x *call) ([]byte, *ic.UserError) {
	var in idArgs
	if err := decode(x.msg.Arg, &in); err != nil {
		return nil, err
	}
	c, err := x.target(in.Canister)
	if err == nil {
		err = x.maySeeSnapshots(c)
	}
	if err != nil {
		return nil, err
	}
	out := []snapshotInfo{}
	c.Snapshots.Each(func(key string, s *state.Snapshot) bool {
		out = append(out, infoOfSnapshot(c, key, s))
		return true
	})
	return candid.Marshal(out), nil
}

func deleteSnapshot(x *call) ([]byte, *ic.UserError) {
	var in snapshotArgs
	if err := decode(x.msg.Arg, &in); err != nil {
		return nil, err
	}
	c, err := x.controlled(in.Canister)
	if err != nil {
		return nil, err
	}
	key, _, err := x.ownSnapshot(c, in.ID)
	if err != nil {
		return nil, err
	}
	c.Snapshots = c.Snapshots.Without(key)
	x.Put(c)
	return nothing, nil
}
