package spectest

import (
	"ashlar/replica/ic"
	"ashlar/replica/wire/candid"
)

// This file: calls of the management canister that package agent has no method
// for, and their Candid types.

type idArg struct {
	Canister ic.CanisterID `candid:"canister_id"`
}

type logLine struct {
	Index   uint64 `candid:"idx"`
	Time    uint64 `candid:"timestamp_nanos"`
	Content []byte `candid:"content"`
}

type logRange struct {
	Start uint64 `candid:"start"`
	End   uint64 `candid:"end"`
}

type logFilter struct {
	candid.OneOf
	Index *logRange `candid:"by_idx"`
	Time  *logRange `candid:"by_timestamp_nanos"`
}

type logsArg struct {
	Canister ic.CanisterID `candid:"canister_id"`
	Filter   *logFilter    `candid:"filter"`
}

type logsResult struct {
	Records []logLine `candid:"canister_log_records"`
}

// manage calls a method of the management canister, as a user.
func (n *net) manage(id ic.CanisterID, method string, arg any, out ...any) error {
	raw, err := n.agent.CallAt(n.ctx, id, ic.CanisterID{Principal: ic.Management}, method, candid.Marshal(arg))
	if err != nil {
		return err
	}
	return candid.Unmarshal(raw, out...)
}

// look queries a method of the management canister.
func (n *net) look(id ic.CanisterID, method string, arg any, out ...any) error {
	raw, err := n.agent.QueryAt(n.ctx, id, ic.CanisterID{Principal: ic.Management}, method, candid.Marshal(arg))
	if err != nil {
		return err
	}
	return candid.Unmarshal(raw, out...)
}

func (n *net) logs(id ic.CanisterID) ([]logLine, error) {
	var out logsResult
	err := n.look(id, "fetch_canister_logs", logsArg{Canister: id}, &out)
	return out.Records, err
}

type visibility struct {
	candid.OneOf
	Controllers *candid.Unit    `candid:"controllers"`
	Public      *candid.Unit    `candid:"public"`
	Viewers     *[]ic.Principal `candid:"allowed_viewers"`
}

// settings of a canister, all there are.
type settings struct {
	Controllers      *[]ic.Principal `candid:"controllers"`
	Compute          *candid.Natural `candid:"compute_allocation"`
	Memory           *candid.Natural `candid:"memory_allocation"`
	Freezing         *candid.Natural `candid:"freezing_threshold"`
	ReservedLimit    *candid.Natural `candid:"reserved_cycles_limit"`
	MinimumCycles    *candid.Natural `candid:"minimum_incoming_canister_call_cycles"`
	LogVisibility    *visibility     `candid:"log_visibility"`
	LogLimit         *candid.Natural `candid:"log_memory_limit"`
	SnapshotsVisible *visibility     `candid:"snapshot_visibility"`
	StatusVisibility *visibility     `candid:"status_visibility"`
	MemoryLimit      *candid.Natural `candid:"wasm_memory_limit"`
	MemoryThreshold  *candid.Natural `candid:"wasm_memory_threshold"`
	Environment      *[]variable     `candid:"environment_variables"`
}

type settingsArg struct {
	Canister ic.CanisterID `candid:"canister_id"`
	Settings settings      `candid:"settings"`
}

func (n *net) settings(id ic.CanisterID, s settings) error {
	return n.manage(id, "update_settings", settingsArg{id, s})
}
