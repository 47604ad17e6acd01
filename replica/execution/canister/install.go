package canister

import (
	"errors"
	"sort"

	"ashlar/replica/execution/machine"
	"ashlar/replica/execution/sysapi"
	"ashlar/replica/execution/wasm"
	"ashlar/replica/ic"
	"ashlar/replica/state"
)

// Mode of an installation.
type Mode string

// The modes, with the names of the canister history.
const (
	Install   Mode = "install"
	Reinstall Mode = "reinstall"
	Upgrade   Mode = "upgrade"
)

// Installation is what install_code asks for.
type Installation struct {
	Mode   Mode
	Code   []byte // as uploaded, perhaps zipped
	Arg    []byte
	Caller ic.Principal
	// Of an upgrade.
	SkipPreUpgrade bool
	Keep           *bool // wasm_memory_persistence: keep, replace, or not said
}

// eopSection marks code that keeps its heap over upgrades (Motoko's enhanced
// orthogonal persistence).
const eopSection = "enhanced-orthogonal-persistence"

// Deploy installs or upgrades code on c, a private copy: as one unit, so that an
// error leaves c as it was but for its log and the cycles that the attempt cost.
func (r *Room) Deploy(c *state.Canister, in *Installation) (machine.Instructions, *ic.UserError) {
	if err := modeFits(c, in); err != nil {
		return 0, err
	}
	if err := r.installsTooFast(c); err != nil {
		return 0, err
	}
	code := state.NamedCode{Hash: r.Tip.Hash(in.Code), Bytes: in.Code}
	_, known := r.Code(code.Hash)
	r.PutNamed(code) // before anything runs: an execution that rests may need it again
	module, err := r.Tip.engine.Load(code.Hash, func() []byte { return in.Code })
	if err != nil {
		return 0, invalidModule(c.ID, err)
	}
	if err := keepFits(c, in, module.Info()); err != nil {
		return 0, err
	}
	cost := r.Subnet.Costs.Run(r.Subnet.Costs.Install(), module.Info().Memory64)
	if err := r.withdraw(c, cost, in.Caller); err != nil {
		return 0, notInstalled(err)
	}
	next := *c
	d := &deployment{room: r, in: in, code: code.Hash, module: module, used: compileCost * machine.Instructions(module.Info().Instructions)}
	r.turn.spend(d.used)
	if known {
		r.turn.spared = d.used - d.used/knownCode
	}
	fault := d.run(&next)
	if fault == nil {
		fault = r.SectionsFit(c, &next)
	}
	if fault == nil {
		fault = r.Grow(&next, Growth{Before: c.MemoryTaken(), ByUser: true, Caller: in.Caller})
	}
	if fault == nil {
		fault = r.stillAfloat(&next, in.Caller)
	}
	if fault != nil {
		r.Cool(c.ID)
		c.TakeLog(&next)
		r.settle(c, cost, d.used)
		r.owe(c, 0, d.used)
		return d.used, fault
	}
	*c = next
	r.settle(c, cost, d.used)
	r.owe(c, 0, d.used)
	return d.used, nil
}

// stillAfloat holds that a canister must not be frozen by what was installed on it.
func (r *Room) stillAfloat(c *state.Canister, caller ic.Principal) *ic.UserError {
	if need := Freezing(r.Subnet.Costs, c); c.Cycles.Less(need) {
		return notInstalled(outOfCycles(c, need, caller))
	}
	return nil
}

func invalidModule(id ic.CanisterID, err error) *ic.UserError {
	help, doc := ic.ToolchainHelp, ""
	if rule := (*wasm.Refused)(nil); errors.As(err, &rule) && rule.Help != "" {
		help, doc = rule.Help, rule.Doc
	}
	return canisterError(id, ic.CanisterInvalidWasm, "Canister's Wasm module is not valid: "+err.Error(), help, doc)
}

func notInstalled(err *ic.UserError) *ic.UserError {
	return ic.Errorf(ic.CanisterOutOfCycles, "Canister installation failed with `%s`.\nTop up the canister with more cycles. See documentation: %sinstall-code-not-enough-cycles", err.Message, ic.ErrorDocs)
}

// compileCost is what each Wasm instruction of new code costs, in instructions.
const compileCost = 6000

// knownCode that another canister or snapshot of the subnet has is compiled already.
// Who installs it pays as ever; of the round it takes this part of the work.
const knownCode = 10

func modeFits(c *state.Canister, in *Installation) *ic.UserError {
	switch {
	case in.Mode == Install && c.Module != nil:
		return ic.Errorf(ic.CanisterNonEmpty, "Canister %s cannot be installed because the canister is not empty. Try installing with mode='reinstall' instead.\nCheck that you want to overwrite the canister and, if so, use mode='reinstall'. See documentation: %scanister-not-empty", c.ID, ic.ErrorDocs)
	case in.Mode == Upgrade && c.Module == nil:
		return noModule(c.ID)
	}
	return nil
}

// keepFits holds the rule of enhanced orthogonal persistence: code that keeps
// its heap must be upgraded with an explicit option, and only such code may.
func keepFits(c *state.Canister, in *Installation, info *wasm.Info) *ic.UserError {
	if in.Mode != Upgrade {
		return nil
	}
	_, next := info.Custom[eopSection]
	switch {
	case in.Keep == nil && c.Module.Section(eopSection) != nil:
		return ic.Errorf(ic.CanisterContractViolation, "Missing upgrade option: Enhanced orthogonal persistence requires the `wasm_memory_persistence` upgrade option.")
	case in.Keep != nil && *in.Keep && !next:
		return ic.Errorf(ic.CanisterContractViolation, "Invalid upgrade option: The `wasm_memory_persistence: opt Keep` upgrade option requires that the new canister module supports enhanced orthogonal persistence.")
	}
	return nil
}

// deployment is the work of one Deploy.
type deployment struct {
	room   *Room
	in     *Installation
	code   [32]byte
	module machine.Module
	used   machine.Instructions
}

func (d *deployment) run(c *state.Canister) *ic.UserError {
	r, in := d.room, d.in
	if in.Mode == Upgrade && !in.SkipPreUpgrade {
		if err := d.entry(c, sysapi.PreUpgrade, "canister_pre_upgrade", nil); err != nil {
			return err
		}
	}
	memory := &state.Memory{}
	if in.Mode == Upgrade {
		memory.Stable = c.Memory.Stable
		if in.Keep != nil && *in.Keep {
			memory.Heap = c.Memory.Heap
		}
	} else {
		c.Certified = nil
		c.ClearLog()
	}
	c.Memory, c.Module = memory, r.Tip.describe(d.code, uint64(len(in.Code)), d.module.Info())
	c.HeapBytes, c.StableBytes = memory.Heap.Bytes(), memory.Stable.Bytes()
	c.Timer = 0
	c.Version++
	c.Installed = r.Now
	if err := d.instantiate(c); err != nil {
		return err
	}
	name := "canister_init"
	if in.Mode == Upgrade {
		name = "canister_post_upgrade"
	}
	if d.module.Info().HasStart {
		if err := d.entry(c, sysapi.Start, machine.Start, nil); err != nil {
			return err
		}
	}
	if err := d.entry(c, sysapi.Init, name, in.Arg); err != nil {
		return err
	}
	r.commit(c) // also where no entry point ran: the data segments are new
	c.WatchMemory()
	return withinLimit(c, c.HeapBytes)
}

// instantiate makes the new code's instance, with fresh globals.
func (d *deployment) instantiate(c *state.Canister) *ic.UserError {
	d.room.Cool(c.ID)
	inst, err := d.module.Instantiate(c.Memory.Heap, c.Memory.Stable, nil)
	if err != nil {
		return invalidModule(c.ID, err)
	}
	d.room.turn.hot = &hot{memory: c.Memory, module: c.Module, inst: inst}
	return nil
}

// entry runs a lifecycle function, if the code has it.
func (d *deployment) entry(c *state.Canister, ctx sysapi.Context, name string, arg []byte) *ic.UserError {
	if c.Module == nil {
		return nil
	}
	if info := d.room.module(c.Module.Hash).Info(); name != machine.Start && !info.Lifecycle[name] {
		return nil
	}
	env := d.room.env(c, ctx)
	env.Caller, env.Arg = d.in.Caller, arg
	limit := d.room.Subnet.Costs.Install()
	used, err := d.room.run(c, machine.Entry{Export: name}, env, limit-min(d.used, limit), true)
	d.used += used
	if err != nil {
		return err
	}
	c.Cycles = env.Balance
	c.Consumed.Burned = c.Consumed.Burned.Add(env.Burned)
	if env.Certified != nil {
		c.Certified = env.Certified
	}
	c.Timer = *env.Timer
	return nil
}

// maxDescribed modules are remembered by the Tip.
const maxDescribed = 64

// describe keeps of validation's findings what the state needs to know. Canisters
// that get the same code one after the other share it.
func (t *Tip) describe(hash [32]byte, bytes uint64, info *wasm.Info) *state.Module {
	if m := t.described[hash]; m != nil {
		return m
	}
	if len(t.described) >= maxDescribed {
		clear(t.described)
	}
	m := state.Module{
		Hash: hash, Bytes: bytes, Memory64: info.Memory64, HasHeartbeat: info.Lifecycle[string(Heartbeat)],
		HasTimer: info.Lifecycle[string(Timer)], HasLowMemory: info.Lifecycle[string(LowMemory)],
	}
	for name, s := range info.Custom {
		m.Sections = append(m.Sections, state.Section{Name: name, Public: s.Public, Content: s.Content})
	}
	sort.Slice(m.Sections, func(i, j int) bool { return m.Sections[i].Name < m.Sections[j].Name })
	t.described[hash] = state.NewModule(m)
	return t.described[hash]
}

// Empty removes code and memories from c, a private copy, and answers all calls
// it still worked on. The chunk store, snapshots and settings stay.
func (r *Room) Empty(c *state.Canister, reason string) {
	r.Cool(c.ID)
	c.Module, c.Memory = nil, &state.Memory{}
	c.ClearLog()
	c.ClearChunks()
	c.HeapBytes, c.StableBytes, c.Certified, c.Timer = 0, 0, nil, 0
	c.WatchMemory()
	c.Version++
	type owed struct {
		call   state.CallContext
		refund ic.Cycles
	}
	var unanswered []owed
	c.Contexts.Each(func(key string, call *state.CallContext) bool {
		dead := *call
		dead.Deleted = true
		if !call.Responded && call.Origin.Kind != state.Task {
			unanswered = append(unanswered, owed{*call, call.Available})
		}
		dead.Responded, dead.Available = true, ic.Cycles{}
		c.Contexts = c.Contexts.With(key, &dead)
		return true
	})
	put := *c
	r.Put(&put)
	for _, o := range unanswered {
		r.Answer(&o.call.Origin, failed(&ic.UserError{Code: ic.CanisterRejectedMessage, Message: reason}), o.refund)
	}
	*c = *r.Canister(c.ID) // an answer may have come to c itself
}
