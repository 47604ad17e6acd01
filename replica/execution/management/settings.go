package management

import (
	"slices"
	"sort"
	"unicode/utf8"

	"ashlar/replica/execution/canister"
	"ashlar/replica/ic"
	"ashlar/replica/state"
	"ashlar/replica/wire/candid"
)

// Limits of settings (management-canister.md, create_canister).
const (
	maxControllers  = 10
	maxViewers      = 10
	maxCompute      = 100     // percent
	maxWasmMemory   = 1 << 48 // bytes
	minLogLimit     = 4096
	maxLogLimit     = 2 << 20
	maxVariables    = 20
	maxVariableText = 128 // bytes of a name, and of a value
)

// Defaults of a new canister's settings.
const (
	defaultFreezing    = 2_592_000 // 30 days, in seconds
	defaultReserved    = 5_000_000_000_000
	defaultMemoryLimit = 3 << 30 // dfinity's choice for new canisters
)

func defaults(caller ic.Principal) state.Settings {
	return state.Settings{
		Controllers: []ic.Principal{caller}, FreezingThreshold: defaultFreezing, ReservedLimit: ic.NewCycles(defaultReserved),
		MemoryLimit: defaultMemoryLimit, LogLimit: state.DefaultLogLimit,
	}
}

// apply puts what the caller named into s.
func (in *settings) apply(s *state.Settings) *ic.UserError {
	if in == nil {
		return nil
	}
	if in.Controllers != nil {
		list := slices.Clone(*in.Controllers)
		if len(list) > maxControllers {
			return ic.Errorf(ic.InvalidManagementPayload, "Error decoding candid: Deserialize error: The number of elements exceeds maximum allowed %d", maxControllers)
		}
		slices.Sort(list)
		s.Controllers = slices.Compact(list)
	}
	for _, n := range []struct {
		rule string
		from *candid.Natural
		into *uint64
		most uint64
	}{
		{"ComputeAllocation expected to be in the range [0..100]", in.ComputeAllocation, &s.ComputeAllocation, maxCompute},
		{"MemoryAllocation expected to be in the range [0..2^64-1]", in.MemoryAllocation, &s.MemoryAllocation, 1<<64 - 1},
		{"Freezing threshold expected to be in the range of [0..2^64-1]", in.FreezingThreshold, &s.FreezingThreshold, 1<<64 - 1},
		{"Wasm memory limit expected to be in the range of [0..2^48]", in.MemoryLimit, &s.MemoryLimit, maxWasmMemory},
		{"Wasm memory threshold expected to be in the range of [0..2^48]", in.MemoryThreshold, &s.MemoryThreshold, maxWasmMemory},
		{"Log memory limit expected to be in the range of [0..2^64-1]", in.LogLimit, &s.LogLimit, 1<<64 - 1},
	} {
		if n.from == nil {
			continue
		}
		v, ok := n.from.Uint64()
		if !ok || v > n.most {
			return ic.Errorf(ic.CanisterContractViolation, "%s, got %s", n.rule, text(*n.from))
		}
		*n.into = v
	}
	switch {
	case s.LogLimit != 0 && s.LogLimit < minLogLimit:
		return ic.Errorf(ic.CanisterRejectedMessage, "The canister log memory limit %d is too low. It must be at least %d.", s.LogLimit, minLogLimit)
	case s.LogLimit > maxLogLimit:
		return ic.Errorf(ic.CanisterRejectedMessage, "The canister log memory limit %d is too high. It must be at most %d.", s.LogLimit, maxLogLimit)
	}
	for _, n := range []struct {
		name string
		from *candid.Natural
		into *ic.Cycles
	}{
		{"Reserved cycles limit", in.ReservedLimit, &s.ReservedLimit},
		{"Minimum incoming canister call cycles", in.MinimumCall, &s.MinimumCallCycles},
	} {
		if n.from == nil {
			continue
		}
		v, ok := n.from.Cycles()
		if !ok {
			return ic.Errorf(ic.CanisterContractViolation, "%s expected to be in the range of [0..2^128-1], got %s", n.name, text(*n.from))
		}
		*n.into = v
	}
	return in.applyRest(s)
}

func text(n candid.Natural) string {
	if n.Int == nil {
		return "0"
	}
	return n.Int.String()
}

func (in *settings) applyRest(s *state.Settings) *ic.UserError {
	for _, v := range []struct {
		from *visibility
		into *state.Visibility
	}{{in.LogVisibility, &s.LogVisibility}, {in.SnapshotsVisible, &s.SnapshotsVisible}, {in.StatusVisibility, &s.StatusVisibility}} {
		if v.from == nil {
			continue
		}
		*v.into = state.Visibility{Public: v.from.Public != nil}
		if v.from.Viewers != nil {
			if len(*v.from.Viewers) > maxViewers {
				return ic.Errorf(ic.InvalidManagementPayload, "Error decoding candid: Deserialize error: The number of elements exceeds maximum allowed %d", maxViewers)
			}
			v.into.Viewers = slices.Clone(*v.from.Viewers)
		}
	}
	if in.Environment == nil {
		return nil
	}
	return environment(*in.Environment, s)
}

func environment(list []variable, s *state.Settings) *ic.UserError {
	if len(list) > maxVariables {
		return ic.Errorf(ic.InvalidManagementPayload, "Too many environment variables: %d (max: %d)", len(list), maxVariables)
	}
	var out []state.Variable
	for _, v := range list {
		switch {
		case len(v.Name) > maxVariableText:
			return ic.Errorf(ic.InvalidManagementPayload, "Environment variable name \"%s\" exceeds the maximum allowed length of %d.", clip(v.Name), maxVariableText)
		case len(v.Value) > maxVariableText:
			return ic.Errorf(ic.InvalidManagementPayload, "Environment variable value \"%s\" exceeds the maximum allowed length of %d.", clip(v.Value), maxVariableText)
		case !utf8.ValidString(v.Name) || !utf8.ValidString(v.Value):
			return ic.Errorf(ic.InvalidManagementPayload, "Environment variables must be UTF-8")
		}
		out = append(out, state.Variable{Name: v.Name, Value: v.Value})
	}
	sort.Slice(out, func(i, j int) bool { return out[i].Name < out[j].Name })
	for i := 1; i < len(out); i++ {
		if out[i].Name == out[i-1].Name {
			return ic.Errorf(ic.InvalidManagementPayload, "Duplicate environment variables are not allowed")
		}
	}
	s.Environment = out
	return nil
}

func updateSettings(x *call) ([]byte, *ic.UserError) {
	var in updateArgs
	if err := decode(x.msg.Arg, &in); err != nil {
		return nil, err
	}
	c, err := x.controlled(in.Canister)
	if err != nil {
		return nil, err
	}
	next := c.Settings
	if err := in.Settings.apply(&next); err != nil {
		return nil, err
	}
	if next.ReservedLimit.Less(c.Reserved) {
		return nil, ic.Errorf(ic.ReservedCyclesLimitIsTooLow, "Cannot set the reserved cycles limit %s below the reserved cycles balance of the canister %s.\n"+
			"Set the reserved cycles limit in the canister settings to a value that is at least the current reserved cycles balance. See documentation: reserved-cycles-limit-is-too-low", next.ReservedLimit, c.Reserved)
	}
	old := c.Settings
	c.Settings = next
	if err := x.allocate(c, &old); err != nil {
		return nil, err
	}
	c.Version++
	if in.Settings.Controllers != nil {
		x.remember(c, in.Version, state.Change{Kind: state.ControllersChange, Controllers: next.Controllers})
	}
	c.WatchMemory()
	c.TrimLog()
	x.Put(c)
	return nothing, nil
}

// maxSubnetCompute is what all canisters' compute allocations may sum up to, in
// percent: of four cores one is kept for those without (cycle-costs.md).
const maxSubnetCompute = 299

// allocate checks that c, a private copy with its new settings, may have what they
// allocate: the subnet has it, and the canister can pay for it.
func (x *call) allocate(c *state.Canister, old *state.Settings) *ic.UserError {
	const topUp = "Top up the canister with more cycles."
	if now := c.Settings.ComputeAllocation; now > old.ComputeAllocation {
		if left := maxSubnetCompute - min(maxSubnetCompute, x.Head.Compute); now-old.ComputeAllocation > left {
			return ic.Errorf(ic.SubnetOversubscribed, "Canister requested a compute allocation of %d%% which cannot be satisfied because the Subnet's remaining compute capacity is %d%%.\nTry moving to another subnet. See documentation: %ssubnet-compute-capacity-oversubscribed", now, left, ic.ErrorDocs)
		}
		bigger := *c
		bigger.Settings.FreezingThreshold = max(old.FreezingThreshold, 1)
		if need := canister.Freezing(x.Subnet.Costs, &bigger); c.Cycles.Less(need) {
			missing, _ := need.Sub(c.Cycles)
			return ic.Errorf(ic.InsufficientCyclesInComputeAlloc, "Cannot increase compute allocation to %d%% due to insufficient cycles. At least %s additional cycles are required.\n%s See documentation: %sinsufficient-cycles-in-compute-allocation", now, missing, topUp, ic.ErrorDocs)
		}
	}
	before := *c
	before.Settings.MemoryAllocation, before.Settings.LogLimit = old.MemoryAllocation, old.LogLimit
	g := canister.Growth{Before: before.MemoryTaken(), ByUser: true, Caller: x.caller, Allocation: c.Settings.MemoryAllocation > old.MemoryAllocation}
	if x.Canister(c.ID) == nil {
		g.Before = 0
	}
	threshold := c.Settings.FreezingThreshold
	c.Settings.FreezingThreshold = old.FreezingThreshold // a threshold set too high can be lowered again: it is no reason to refuse
	err := x.Grow(c, g)
	c.Settings.FreezingThreshold = threshold
	return err
}

func visibilityOf(v state.Visibility) visibility {
	switch {
	case v.Public:
		return visibility{Public: &candid.Unit{}}
	case v.Viewers != nil:
		return visibility{Viewers: &v.Viewers}
	}
	return visibility{Controllers: &candid.Unit{}}
}

func definite(s *state.Settings) definiteSettings {
	out := definiteSettings{
		Controllers: s.Controllers, ComputeAllocation: candid.Nat64Of(s.ComputeAllocation), MemoryAllocation: candid.Nat64Of(s.MemoryAllocation),
		FreezingThreshold: candid.Nat64Of(s.FreezingThreshold), ReservedLimit: candid.NatOfCycles(s.ReservedLimit),
		MinimumCall: candid.NatOfCycles(s.MinimumCallCycles), LogVisibility: visibilityOf(s.LogVisibility), LogLimit: candid.Nat64Of(s.LogLimit),
		SnapshotsVisible: visibilityOf(s.SnapshotsVisible), StatusVisibility: visibilityOf(s.StatusVisibility),
		MemoryLimit: candid.Nat64Of(s.MemoryLimit), MemoryThreshold: candid.Nat64Of(s.MemoryThreshold),
	}
	for _, v := range s.Environment {
		out.Environment = append(out.Environment, variable{v.Name, v.Value})
	}
	return out
}
