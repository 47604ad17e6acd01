package management

import (
	"ashlar/replica/ic"
	"ashlar/replica/wire/candid"
)

// This file: the Candid types of the management canister's interface
// (public/references/ic.did of dfinity/developer-docs, spec 0.67), as Go types.

type visibility struct {
	candid.OneOf
	Controllers *candid.Unit    `candid:"controllers"`
	Public      *candid.Unit    `candid:"public"`
	Viewers     *[]ic.Principal `candid:"allowed_viewers"`
}

type variable struct {
	Name  string `candid:"name"`
	Value string `candid:"value"`
}

type settings struct {
	Controllers       *[]ic.Principal `candid:"controllers"`
	ComputeAllocation *candid.Natural `candid:"compute_allocation"`
	MemoryAllocation  *candid.Natural `candid:"memory_allocation"`
	FreezingThreshold *candid.Natural `candid:"freezing_threshold"`
	ReservedLimit     *candid.Natural `candid:"reserved_cycles_limit"`
	MinimumCall       *candid.Natural `candid:"minimum_incoming_canister_call_cycles"`
	LogVisibility     *visibility     `candid:"log_visibility"`
	LogLimit          *candid.Natural `candid:"log_memory_limit"`
	SnapshotsVisible  *visibility     `candid:"snapshot_visibility"`
	StatusVisibility  *visibility     `candid:"status_visibility"`
	MemoryLimit       *candid.Natural `candid:"wasm_memory_limit"`
	MemoryThreshold   *candid.Natural `candid:"wasm_memory_threshold"`
	Environment       *[]variable     `candid:"environment_variables"`
}

type definiteSettings struct {
	Controllers       []ic.Principal `candid:"controllers"`
	ComputeAllocation candid.Natural `candid:"compute_allocation"`
	MemoryAllocation  candid.Natural `candid:"memory_allocation"`
	FreezingThreshold candid.Natural `candid:"freezing_threshold"`
	ReservedLimit     candid.Natural `candid:"reserved_cycles_limit"`
	MinimumCall       candid.Natural `candid:"minimum_incoming_canister_call_cycles"`
	LogVisibility     visibility     `candid:"log_visibility"`
	LogLimit          candid.Natural `candid:"log_memory_limit"`
	SnapshotsVisible  visibility     `candid:"snapshot_visibility"`
	StatusVisibility  visibility     `candid:"status_visibility"`
	MemoryLimit       candid.Natural `candid:"wasm_memory_limit"`
	MemoryThreshold   candid.Natural `candid:"wasm_memory_threshold"`
	Environment       []variable     `candid:"environment_variables"`
}

type createArgs struct {
	Settings *settings `candid:"settings"`
	Version  *uint64   `candid:"sender_canister_version"`
}

type provisionalArgs struct {
	Amount    *candid.Natural `candid:"amount"`
	Settings  *settings       `candid:"settings"`
	Specified *ic.CanisterID  `candid:"specified_id"`
	Version   *uint64         `candid:"sender_canister_version"`
}

type topUpArgs struct {
	Canister ic.CanisterID  `candid:"canister_id"`
	Amount   candid.Natural `candid:"amount"`
}

// idArgs is the argument of all methods that name a canister and no more.
type idArgs struct {
	Canister ic.CanisterID `candid:"canister_id"`
}

type idVersionArgs struct {
	Canister ic.CanisterID `candid:"canister_id"`
	Version  *uint64       `candid:"sender_canister_version"`
}

type updateArgs struct {
	Canister ic.CanisterID `candid:"canister_id"`
	Settings settings      `candid:"settings"`
	Version  *uint64       `candid:"sender_canister_version"`
}

type persistence struct {
	candid.OneOf
	Keep    *candid.Unit `candid:"keep"`
	Replace *candid.Unit `candid:"replace"`
}

type upgradeOptions struct {
	SkipPreUpgrade *bool        `candid:"skip_pre_upgrade"`
	Persistence    *persistence `candid:"wasm_memory_persistence"`
}

type installMode struct {
	candid.OneOf
	Install   *candid.Unit     `candid:"install"`
	Reinstall *candid.Unit     `candid:"reinstall"`
	Upgrade   **upgradeOptions `candid:"upgrade"`
}

type installArgs struct {
	Mode     installMode   `candid:"mode"`
	Canister ic.CanisterID `candid:"canister_id"`
	Code     []byte        `candid:"wasm_module"`
	Arg      []byte        `candid:"arg"`
	Version  *uint64       `candid:"sender_canister_version"`
}

type chunkHash struct {
	Hash []byte `candid:"hash"`
}

type installChunkedArgs struct {
	Mode     installMode    `candid:"mode"`
	Target   ic.CanisterID  `candid:"target_canister"`
	Store    *ic.CanisterID `candid:"store_canister"`
	Chunks   []chunkHash    `candid:"chunk_hashes_list"`
	CodeHash []byte         `candid:"wasm_module_hash"`
	Arg      []byte         `candid:"arg"`
	Version  *uint64        `candid:"sender_canister_version"`
}

type uploadChunkArgs struct {
	Canister ic.CanisterID `candid:"canister_id"`
	Chunk    []byte        `candid:"chunk"`
}

type runStatus struct {
	candid.OneOf
	Running  *candid.Unit `candid:"running"`
	Stopping *candid.Unit `candid:"stopping"`
	Stopped  *candid.Unit `candid:"stopped"`
}

type memoryMetrics struct {
	Heap      candid.Natural `candid:"wasm_memory_size"`
	Stable    candid.Natural `candid:"stable_memory_size"`
	Globals   candid.Natural `candid:"global_memory_size"`
	Code      candid.Natural `candid:"wasm_binary_size"`
	Sections  candid.Natural `candid:"custom_sections_size"`
	History   candid.Natural `candid:"canister_history_size"`
	Chunks    candid.Natural `candid:"wasm_chunk_store_size"`
	Snapshots candid.Natural `candid:"snapshots_size"`
	Logs      candid.Natural `candid:"log_memory_store_size"`
}

type queryStats struct {
	Calls        candid.Natural `candid:"num_calls_total"`
	Instructions candid.Natural `candid:"num_instructions_total"`
	Request      candid.Natural `candid:"request_payload_bytes_total"`
	Response     candid.Natural `candid:"response_payload_bytes_total"`
}

type statusResult struct {
	Status    runStatus        `candid:"status"`
	Migration bool             `candid:"ready_for_migration"`
	Version   uint64           `candid:"version"`
	Settings  definiteSettings `candid:"settings"`
	Hash      *[]byte          `candid:"module_hash"`
	Memory    candid.Natural   `candid:"memory_size"`
	Metrics   memoryMetrics    `candid:"memory_metrics"`
	Cycles    candid.Natural   `candid:"cycles"`
	Reserved  candid.Natural   `candid:"reserved_cycles"`
	Idle      candid.Natural   `candid:"idle_cycles_burned_per_day"`
	Stats     queryStats       `candid:"query_stats"`
}

type consumed struct {
	Memory       candid.Natural `candid:"memory"`
	Compute      candid.Natural `candid:"compute_allocation"`
	Ingress      candid.Natural `candid:"ingress_induction"`
	Instructions candid.Natural `candid:"instructions"`
	Transmission candid.Natural `candid:"request_and_response_transmission"`
	Uninstall    candid.Natural `candid:"uninstall"`
	Creation     candid.Natural `candid:"canister_creation"`
	Outcalls     candid.Natural `candid:"http_outcalls"`
	Burned       candid.Natural `candid:"burned_cycles"`
}

type metricsResult struct {
	Consumed consumed `candid:"cycles_consumed"`
}

type infoArgs struct {
	Canister ic.CanisterID `candid:"canister_id"`
	Changes  *uint64       `candid:"num_requested_changes"`
}

type userOrigin struct {
	User ic.Principal `candid:"user_id"`
}

type canisterOrigin struct {
	Canister ic.Principal `candid:"canister_id"`
	Version  *uint64      `candid:"canister_version"`
}

type changeOrigin struct {
	candid.OneOf
	User     *userOrigin     `candid:"from_user"`
	Canister *canisterOrigin `candid:"from_canister"`
}

type creation struct {
	Controllers []ic.Principal `candid:"controllers"`
	Environment *[]byte        `candid:"environment_variables_hash"`
}

type deploymentMode struct {
	candid.OneOf
	Install   *candid.Unit `candid:"install"`
	Reinstall *candid.Unit `candid:"reinstall"`
	Upgrade   *candid.Unit `candid:"upgrade"`
}

type codeDeployment struct {
	Mode deploymentMode `candid:"mode"`
	Hash []byte         `candid:"module_hash"`
}

type snapshotSource struct {
	candid.OneOf
	Taken    *candid.Any `candid:"taken_from_canister"`
	Uploaded *candid.Any `candid:"metadata_upload"`
}

type loadedSnapshot struct {
	From    *ic.CanisterID `candid:"from_canister_id"`
	ID      []byte         `candid:"snapshot_id"`
	Version uint64         `candid:"canister_version"`
	Taken   uint64         `candid:"taken_at_timestamp"`
	Source  snapshotSource `candid:"source"`
}

type controllersChange struct {
	Controllers []ic.Principal `candid:"controllers"`
}

type renamedTo struct {
	Canister ic.CanisterID `candid:"canister_id"`
	Version  uint64        `candid:"version"`
	Changes  uint64        `candid:"total_num_changes"`
}

// renaming is part of the interface; only a migration between subnets makes one.
type renaming struct {
	Canister ic.CanisterID `candid:"canister_id"`
	Changes  uint64        `candid:"total_num_changes"`
	To       renamedTo     `candid:"rename_to"`
	By       ic.Principal  `candid:"requested_by"`
}

type changeDetails struct {
	candid.OneOf
	Rename      *renaming          `candid:"rename_canister"`
	Creation    *creation          `candid:"creation"`
	Uninstall   *candid.Unit       `candid:"code_uninstall"`
	Deployment  *codeDeployment    `candid:"code_deployment"`
	Snapshot    *loadedSnapshot    `candid:"load_snapshot"`
	Controllers *controllersChange `candid:"controllers_change"`
}

type change struct {
	Time    uint64        `candid:"timestamp_nanos"`
	Version uint64        `candid:"canister_version"`
	Origin  changeOrigin  `candid:"origin"`
	Details changeDetails `candid:"details"`
}

type infoResult struct {
	Total       uint64         `candid:"total_num_changes"`
	Recent      []change       `candid:"recent_changes"`
	Hash        *[]byte        `candid:"module_hash"`
	Controllers []ic.Principal `candid:"controllers"`
}

type metadataArgs struct {
	Canister ic.CanisterID `candid:"canister_id"`
	Name     string        `candid:"name"`
}

type metadataResult struct {
	Value []byte `candid:"value"`
}

type snapshotInfo struct {
	ID    []byte `candid:"id"`
	Taken uint64 `candid:"taken_at_timestamp"`
	Size  uint64 `candid:"total_size"`
}

type takeArgs struct {
	Canister  ic.CanisterID `candid:"canister_id"`
	Replace   *[]byte       `candid:"replace_snapshot"`
	Uninstall *bool         `candid:"uninstall_code"`
	Version   *uint64       `candid:"sender_canister_version"`
}

type snapshotArgs struct {
	Canister ic.CanisterID `candid:"canister_id"`
	ID       []byte        `candid:"snapshot_id"`
	Version  *uint64       `candid:"sender_canister_version"`
}

type timeRange struct {
	Start uint64 `candid:"start"`
	End   uint64 `candid:"end"`
}

type logFilter struct {
	candid.OneOf
	Index *timeRange `candid:"by_idx"`
	Time  *timeRange `candid:"by_timestamp_nanos"`
}

type logsArgs struct {
	Canister ic.CanisterID `candid:"canister_id"`
	Filter   *logFilter    `candid:"filter"`
}

type logRecord struct {
	Index   uint64 `candid:"idx"`
	Time    uint64 `candid:"timestamp_nanos"`
	Content []byte `candid:"content"`
}

type logsResult struct {
	Records []logRecord `candid:"canister_log_records"`
}

type subnetArgs struct {
	Subnet ic.Principal `candid:"subnet_id"`
}

type subnetInfoResult struct {
	Version  string `candid:"replica_version"`
	Registry uint64 `candid:"registry_version"`
}

type subnetMetricsResult struct {
	Height    candid.Natural `candid:"block_height"`
	Canisters candid.Natural `candid:"num_canisters"`
	Bytes     candid.Natural `candid:"canister_state_bytes"`
	Consumed  candid.Natural `candid:"consumed_cycles_total"`
	Updates   candid.Natural `candid:"update_transactions_total"`
}

type metricsHistoryArgs struct {
	Subnet ic.Principal `candid:"subnet_id"`
	Start  uint64       `candid:"start_at_timestamp_nanos"`
}

type nodeMetrics struct {
	Node     ic.Principal `candid:"node_id"`
	Proposed uint64       `candid:"num_blocks_proposed_total"`
	Failed   uint64       `candid:"num_block_failures_total"`
}

type dayMetrics struct {
	Time  uint64        `candid:"timestamp_nanos"`
	Nodes []nodeMetrics `candid:"node_metrics"`
}

type idRange struct {
	Start ic.CanisterID `candid:"start"`
	End   ic.CanisterID `candid:"end"`
}

type listResult struct {
	Canisters []idRange `candid:"canisters"`
}
