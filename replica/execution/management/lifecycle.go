package management

import (
	"crypto/sha256"
	"fmt"
	"strings"

	"ashlar/replica/execution/canister"
	"ashlar/replica/ic"
	"ashlar/replica/state"
	"ashlar/replica/state/trie"
	"ashlar/replica/wire/candid"
)

// This file: canisters come, run, stop and go.

// defaultProvisional is what a canister made from nothing owns if the caller
// does not say: 100 T.
const defaultProvisional = 100_000_000_000_000

// stopTimeout is how long stop_canister waits, in ns (spec: implementation
// specific; mainnet: 5 minutes).
const stopTimeout = 5 * 60 * 1e9

func createCanister(x *call) ([]byte, *ic.UserError) {
	var in createArgs
	if err := decode(x.msg.Arg, &in); err != nil {
		return nil, err
	}
	fee := x.Subnet.Costs.Create()
	if len(x.Admins) > 0 {
		fee = ic.Cycles{}
	}
	cycles, ok := x.msg.Cycles.Sub(fee)
	if !ok {
		return nil, ic.Errorf(ic.InsufficientCyclesForCreate, "Creating a canister requires a fee of %s that is deducted from the canister's initial balance but only %s cycles were received with the create_canister request.\n"+
			"Try sending more cycles with the request. See documentation: %screate-canister-not-enough-cycles", fee, x.msg.Cycles, ic.ErrorDocs)
	}
	id, err := x.nextID()
	if err != nil {
		return nil, err
	}
	if err := x.create(id, in.Settings, cycles, fee, in.Version); err != nil {
		return nil, err
	}
	x.accepted = x.msg.Cycles
	return candid.Marshal(idArgs{id}), nil
}

func provisionalCreate(x *call) ([]byte, *ic.UserError) {
	var in provisionalArgs
	if err := decode(x.msg.Arg, &in); err != nil {
		return nil, err
	}
	if !x.Provisional {
		return nil, ic.Errorf(ic.CanisterMethodNotFound, "Sender not authorized to use method.")
	}
	cycles := ic.NewCycles(defaultProvisional)
	if in.Amount != nil {
		cycles = provisionalAmount(*in.Amount)
	}
	var id ic.CanisterID
	var err *ic.UserError
	if in.Specified != nil {
		id, err = x.specifiedID(*in.Specified)
	} else {
		id, err = x.nextID()
	}
	if err == nil {
		err = x.create(id, in.Settings, cycles, ic.Cycles{}, in.Version)
	}
	if err != nil {
		return nil, err
	}
	return candid.Marshal(idArgs{id}), nil
}

// provisionalAmount is a number of cycles that somebody asked for. One of more
// than 128 bits counts as none, as mainnet's replica has it.
func provisionalAmount(n candid.Natural) ic.Cycles {
	if cycles, ok := n.Cycles(); ok {
		return cycles
	}
	return ic.NewCycles(defaultProvisional)
}

// nextID is the next free canister id of the subnet's last range: ids of the
// earlier ones came with canisters that moved here, or are given by name.
func (x *call) nextID() (ic.CanisterID, *ic.UserError) {
	if err := x.crowded(); err != nil {
		return ic.CanisterID{}, err
	}
	if ranges := x.Draft.Subnet().Ranges; len(ranges) > 0 {
		first, ok1 := ranges[len(ranges)-1].First.Uint64()
		last, ok2 := ranges[len(ranges)-1].Last.Uint64()
		for n := max(first, x.Head.NextCanister); ok1 && ok2 && n <= last; n++ {
			id := ic.CanisterIDFromUint64(n)
			if x.Canister(id) == nil {
				x.Head.NextCanister = n + 1
				return id, nil
			}
		}
	}
	return ic.CanisterID{}, ic.Errorf(ic.SubnetOversubscribed, "Could not create canister. Subnet has surpassed its canister ID allocation.\n"+elsewhere+"subnet-out-of-canister-ids")
}

const elsewhere = "Try creating the canister on another subnet. See documentation: " + ic.ErrorDocs

// usualCanisters are the most on a subnet whose record does not say.
const usualCanisters = 120_000

// crowded is the error of one canister too many.
func (x *call) crowded() *ic.UserError {
	most := x.Draft.Subnet().MaxCanisters
	if most == 0 {
		most = usualCanisters
	}
	if uint64(x.NumCanisters()) < most {
		return nil
	}
	return ic.Errorf(ic.MaxNumberOfCanistersReached, "Subnet %s has reached the allowed canister limit of %d canisters. Retry creating the canister.\n"+elsewhere+"maximum-number-of-canisters-reached", x.Subnet.ID, most)
}

const internal = "This is an internal error on the IC. Please report it to IC devs on the forum: https://forum.dfinity.org"

func (x *call) specifiedID(id ic.CanisterID) (ic.CanisterID, *ic.UserError) {
	if _, ok := id.Uint64(); !x.Hosts(id) || !ok {
		return id, ic.Errorf(ic.CanisterNotHostedBySubnet, "Unsuccessful validation of specified ID: Specified CanisterId %s is not hosted by subnet %s.\n%s", id, x.Subnet.ID, internal)
	}
	if err := x.crowded(); err != nil {
		return id, err
	}
	if x.Canister(id) != nil {
		return id, ic.Errorf(ic.CanisterIDAlreadyExists, "Unsuccessful canister creation: canister id %s already exists.\n%s", id, internal)
	}
	return id, nil
}

func (x *call) create(id ic.CanisterID, in *settings, cycles, fee ic.Cycles, version *uint64) *ic.UserError {
	s := defaults(x.caller)
	if err := in.apply(&s); err != nil {
		return err
	}
	c := &state.Canister{ID: id, Memory: &state.Memory{}, Record: state.Record{
		Run: state.Running, Settings: s, Cycles: cycles, Created: x.Now, Charged: x.Now,
	}}
	c.Consumed.Creation = fee
	if err := x.allocate(c, &state.Settings{FreezingThreshold: s.FreezingThreshold}); err != nil {
		return err
	}
	x.Head.Burned = x.Head.Burned.Add(fee)
	ch := state.Change{Kind: state.Creation, Controllers: s.Controllers}
	if in != nil && in.Environment != nil {
		ch.Environment = environmentHash(s.Environment)
	}
	x.remember(c, version, ch)
	x.Put(c)
	return nil
}

// environmentHash is the representation-independent hash of name -> value.
func environmentHash(vars []state.Variable) []byte {
	var parts [][64]byte
	for _, v := range vars {
		var p [64]byte
		k, val := sha256.Sum256([]byte(v.Name)), sha256.Sum256([]byte(v.Value))
		copy(p[:32], k[:])
		copy(p[32:], val[:])
		parts = append(parts, p)
	}
	sortParts(parts)
	h := sha256.New()
	for i := range parts {
		h.Write(parts[i][:])
	}
	return h.Sum(nil)
}

func provisionalTopUp(x *call) ([]byte, *ic.UserError) {
	var in topUpArgs
	if err := decode(x.msg.Arg, &in); err != nil {
		return nil, err
	}
	if !x.Provisional {
		return nil, ic.Errorf(ic.CanisterMethodNotFound, "Sender not authorized to use method.")
	}
	c, err := x.target(in.Canister)
	if err != nil {
		return nil, err
	}
	c.Cycles = c.Cycles.Add(provisionalAmount(in.Amount))
	x.Put(c)
	return nothing, nil
}

func depositCycles(x *call) ([]byte, *ic.UserError) {
	var in idArgs
	if err := decode(x.msg.Arg, &in); err != nil {
		return nil, err
	}
	c, err := x.target(in.Canister)
	if err != nil {
		return nil, err
	}
	c.Cycles = c.Cycles.Add(x.msg.Cycles)
	x.accepted = x.msg.Cycles
	x.Put(c)
	return nothing, nil
}

func startCanister(x *call) ([]byte, *ic.UserError) {
	c, err := x.one(true)
	if err != nil {
		return nil, err
	}
	waiting := c.StopCalls
	c.StopCalls = nil
	c.Run = state.Running
	c.Version++
	x.Put(c)
	for i := range waiting {
		cancelled := ic.Errorf(ic.CanisterStoppingCancelled, "Canister %s's stop request was cancelled.", c.ID)
		if waiting[i].Origin.Kind == state.Request {
			cancelled.Message = "Canister " + c.ID.String() + "'s stop request cancelled"
		}
		x.Answer(&waiting[i].Origin, ic.Reply{Reject: cancelled.Reject()}, waiting[i].Cycles)
	}
	return nothing, nil
}

// one decodes an argument that names one canister, for its controllers, or its
// subnet's admins too.
func (x *call) one(admins bool) (*state.Canister, *ic.UserError) {
	var in idArgs
	if err := decode(x.msg.Arg, &in); err != nil {
		return nil, err
	}
	if admins {
		return x.governed(in.Canister)
	}
	return x.controlled(in.Canister)
}

func stopCanister(x *call) ([]byte, *ic.UserError) {
	c, err := x.one(true)
	if err != nil {
		return nil, err
	}
	if c.Run == state.Stopped {
		c.Version++
		x.Put(c)
		return nothing, nil
	}
	c.Run = state.Stopping
	c.Version++
	c.StopCalls = append(c.StopCalls[:len(c.StopCalls):len(c.StopCalls)], state.StopCall{Origin: x.msg.Origin, Cycles: x.msg.Cycles, Since: x.Now})
	x.Put(c)
	x.later = true
	return nil, nil
}

// FinishStops stops the canisters that have nothing left to do, and ends the
// calls of stop_canister that have waited too long.
func (m *Management) FinishStops() {
	for _, id := range m.Stopping() {
		c := *m.Canister(id)
		calls := c.StopCalls
		if c.Contexts.Len() == 0 && c.Callbacks.Len() == 0 && c.Queue.Len() == 0 && c.Long == nil {
			c.Run, c.StopCalls = state.Stopped, nil
			c.Version++
			m.Put(&c)
			for i := range calls {
				m.Answer(&calls[i].Origin, ic.Reply{Data: nothing}, calls[i].Cycles)
			}
			continue
		}
		old := 0
		for old < len(calls) && calls[old].Since+stopTimeout <= m.Now {
			old++
		}
		if old == 0 {
			continue
		}
		c.StopCalls = calls[old:]
		m.Put(&c)
		for i := range calls[:old] {
			err := ic.Errorf(ic.StopCanisterRequestTimeout, "Stop canister request timed out")
			m.Answer(&calls[i].Origin, ic.Reply{Reject: err.Reject()}, calls[i].Cycles)
		}
	}
}

func deleteCanister(x *call) ([]byte, *ic.UserError) {
	c, err := x.one(true)
	if err != nil {
		return nil, err
	}
	switch {
	case c.ID.Principal == x.caller:
		return nil, ic.Errorf(ic.CanisterInvalidController, "Canister %s cannot delete itself.\nDelete the canister from one of its other controllers. See documentation: %sdelete-canister-self", c.ID, ic.ErrorDocs)
	case c.Run != state.Stopped:
		return nil, ic.Errorf(ic.CanisterNotStopped, "Canister %s must be stopped before it is deleted.\nStop the canister before deleting it. See documentation: %sdelete-canister-not-stopped", c.ID, ic.ErrorDocs)
	case c.Queue.Len() > 0 || c.Callbacks.Len() > 0:
		return nil, ic.Errorf(ic.CanisterQueueNotEmpty, "Canister %s has messages in its queues and cannot be deleted now. Please retry after some time.\n"+
			"Wait until the queues have been cleared to delete the canister and in the meantime stop the canister. See documentation: %sdelete-canister-queue-not-empty", c.ID, ic.ErrorDocs)
	}
	x.Head.Burned = x.Head.Burned.Add(c.Cycles).Add(c.Reserved)
	x.Delete(c.ID)
	x.Cool(c.ID)
	return nothing, nil
}

func uninstallCode(x *call) ([]byte, *ic.UserError) {
	var in idVersionArgs
	if err := decode(x.msg.Arg, &in); err != nil {
		return nil, err
	}
	c, err := x.governed(in.Canister)
	if err != nil {
		return nil, err
	}
	x.Empty(c, "Canister has been uninstalled.")
	x.remember(c, in.Version, state.Change{Kind: state.CodeUninstall})
	x.Put(c)
	return nothing, nil
}

func installCode(x *call) ([]byte, *ic.UserError) {
	var in installArgs
	if err := decode(x.msg.Arg, &in); err != nil {
		return nil, err
	}
	c, err := x.controlled(in.Canister)
	if err != nil {
		return nil, err
	}
	return x.deploy(c, in.Mode, in.Code, in.Arg, in.Version)
}

func (x *call) deploy(c *state.Canister, mode installMode, code, arg []byte, version *uint64) ([]byte, *ic.UserError) {
	in := &canister.Installation{Mode: canister.Install, Code: code, Arg: arg, Caller: x.caller}
	switch {
	case mode.Reinstall != nil:
		in.Mode = canister.Reinstall
	case mode.Upgrade != nil:
		in.Mode = canister.Upgrade
		if o := *mode.Upgrade; o != nil {
			in.SkipPreUpgrade = o.SkipPreUpgrade != nil && *o.SkipPreUpgrade
			if o.Persistence != nil {
				keep := o.Persistence.Keep != nil
				in.Keep = &keep
			}
		}
	}
	used, err := x.Deploy(c, in)
	x.used += used
	if err == nil {
		x.remember(c, version, state.Change{Kind: state.CodeDeployment, Mode: string(in.Mode), ModuleHash: c.Module.Hash[:]})
	}
	x.Put(c)
	if err != nil {
		return nil, err
	}
	return nothing, nil
}

// Limits of the chunk store.
const (
	maxChunks = 100         // 100 MiB, the size of the largest module
	chunkWork = 200_000_000 // instructions that storing a chunk costs
)

func chunkError(format string, args ...any) *ic.UserError {
	return ic.Errorf(ic.CanisterContractViolation, "Error from Wasm chunk store: %s.\nUse the `stored_chunks` API to check which hashes are present or top up the canister if it is low on cycles. See documentation: %swasm-chunk-store-error", fmt.Sprintf(format, args...), ic.ErrorDocs)
}

// storeOwner is target for the controllers and the canister itself.
func (x *call) storeOwner(id ic.CanisterID) (*state.Canister, *ic.UserError) {
	if x.caller == id.Principal {
		return x.target(id)
	}
	return x.controlled(id)
}

func installChunked(x *call) ([]byte, *ic.UserError) {
	var in installChunkedArgs
	if err := decode(x.msg.Arg, &in); err != nil {
		return nil, err
	}
	c, err := x.controlled(in.Target)
	if err != nil {
		return nil, err
	}
	code := x.ResumedCode() // the chunks may be others by now
	if code == nil {
		if code, err = x.gather(c, &in); err != nil {
			return nil, err
		}
	}
	return x.deploy(c, in.Mode, code, in.Arg, in.Version)
}

// gather joins the chunks that a call of install_chunked_code on c names.
func (x *call) gather(c *state.Canister, in *installChunkedArgs) ([]byte, *ic.UserError) {
	store, err := c, (*ic.UserError)(nil)
	if in.Store != nil {
		if store, err = x.storeOwner(*in.Store); err != nil {
			return nil, err
		}
	}
	if len(in.Chunks) > maxChunks {
		return nil, chunkError("The number of chunks %d exceeds the limit of %d", len(in.Chunks), maxChunks)
	}
	x.used += instructionsOf(uint64(len(in.Chunks)) * state.ChunkBytes)
	var code []byte
	for _, h := range in.Chunks {
		if len(h.Hash) != sha256.Size {
			return nil, chunkError("Chunk hash is invalid. The length is not 32")
		}
		part, ok := store.Chunks.Get(string(h.Hash))
		if !ok {
			return nil, chunkError("Chunk hash %s was not found", listed("%d", h.Hash))
		}
		code = append(code, part.Bytes()...)
	}
	if got := x.Tip.Hash(code); string(got[:]) != string(in.CodeHash) {
		return nil, chunkError("Wasm module hash %x does not match given hash %x", got, in.CodeHash)
	}
	return code, nil
}

func uploadChunk(x *call) ([]byte, *ic.UserError) {
	var in uploadChunkArgs
	if err := decode(x.msg.Arg, &in); err != nil {
		return nil, err
	}
	c, err := x.storeOwner(in.Canister)
	if err != nil {
		return nil, err
	}
	// One that is there already was hashed too.
	if missing := x.withdraw(c, chunkWork); !missing.IsZero() {
		return nil, chunkError("Error charging for 'upload_chunk': %s", x.outOfCycles(c, missing))
	}
	hash, fresh, err := insertChunk(c.Chunks, in.Chunk)
	if err != nil {
		return nil, err
	}
	if fresh {
		if err := x.chunksSlowEnough(c); err != nil {
			return nil, err
		}
		c.Chunks = c.Chunks.With(hash, state.NewChunk(in.Chunk))
		x.Wrote(c, state.ChunkBytes)
		if err := x.fits(c); err != nil {
			return nil, err
		}
	}
	x.Put(c)
	return candid.Marshal(chunkHash{[]byte(hash)}), nil
}

// insertChunk tells under which hash a chunk comes into a store, and whether it is not
// there yet and may come.
func insertChunk(store trie.Map[*state.Chunk], chunk []byte) (hash string, fresh bool, err *ic.UserError) {
	sum := sha256.Sum256(chunk)
	hash = string(sum[:])
	if _, ok := store.Get(hash); ok {
		return hash, false, nil
	}
	switch {
	case len(chunk) > state.ChunkBytes:
		err = chunkError("Wasm chunk size %d exceeds the maximum chunk size of %d", len(chunk), state.ChunkBytes)
	case store.Len() >= maxChunks:
		err = chunkError("Wasm chunk store has already reached maximum capacity of %d bytes or the maximum number of entries, %d", maxChunks*state.ChunkBytes, maxChunks)
	}
	return hash, true, err
}

// chunksSlowEnough is slowEnough in the words of methods that write chunks.
func (x *call) chunksSlowEnough(c *state.Canister) *ic.UserError {
	if debit, limit, fast := x.WritesTooFast(c); fast {
		return chunkError("Canister is heap delta rate limited. Current delta debit: %d, limit: %d", debit, limit)
	}
	return nil
}

// listed are bytes as mainnet's texts have them.
func listed(format string, b []byte) string {
	parts := make([]string, len(b))
	for i, v := range b {
		parts[i] = fmt.Sprintf(format, v)
	}
	return "[" + strings.Join(parts, ", ") + "]"
}

func clearChunks(x *call) ([]byte, *ic.UserError) {
	var in idArgs
	if err := decode(x.msg.Arg, &in); err != nil {
		return nil, err
	}
	c, err := x.storeOwner(in.Canister)
	if err != nil {
		return nil, err
	}
	c.ClearChunks()
	x.Put(c)
	return nothing, nil
}

func storedChunks(x *call) ([]byte, *ic.UserError) {
	var in idArgs
	if err := decode(x.msg.Arg, &in); err != nil {
		return nil, err
	}
	c, err := x.storeOwner(in.Canister)
	if err != nil {
		return nil, err
	}
	out := []chunkHash{}
	c.Chunks.Each(func(hash string, _ *state.Chunk) bool {
		out = append(out, chunkHash{[]byte(hash)})
		return true
	})
	return candid.Marshal(out), nil
}
