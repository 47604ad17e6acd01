package agent

import (
	"context"
	"crypto/sha256"
	"fmt"

	"ashlar/replica/ic"
	"ashlar/replica/wire/candid"
)

// Management is the management canister, as a controller of canisters uses it.
type Management struct{ *Agent }

// Manage wraps an agent.
func Manage(a *Agent) Management { return Management{a} }

// Sizes of an installation.
const (
	directWasm = 1 << 20 // bytes of a module that go with the call; above, it is uploaded in chunks
	chunkBytes = 1 << 20 // the most that upload_chunk takes
)

// Settings of a canister; nil leaves a setting as it is.
type Settings struct {
	Controllers       *[]ic.Principal `candid:"controllers"`
	ComputeAllocation *candid.Natural `candid:"compute_allocation"`
	MemoryAllocation  *candid.Natural `candid:"memory_allocation"`
	FreezingThreshold *candid.Natural `candid:"freezing_threshold"`
	ReservedLimit     *candid.Natural `candid:"reserved_cycles_limit"`
	WasmMemoryLimit   *candid.Natural `candid:"wasm_memory_limit"`
}

type canisterArg struct {
	Canister ic.CanisterID `candid:"canister_id"`
}

// Create makes a canister near the effective id with an amount of cycles: a network of one's own only.
func (m Management) Create(ctx context.Context, effective ic.CanisterID, cycles ic.Cycles, s *Settings) (ic.CanisterID, error) {
	var out canisterArg
	err := m.invoke(ctx, effective, "provisional_create_canister_with_cycles", struct {
		Amount    *ic.Cycles     `candid:"amount"`
		Settings  *Settings      `candid:"settings"`
		Specified *ic.CanisterID `candid:"specified_id"`
	}{Amount: &cycles, Settings: s}, &out)
	return out.Canister, err
}

// TopUp adds cycles: a network of one's own only.
func (m Management) TopUp(ctx context.Context, c ic.CanisterID, cycles ic.Cycles) error {
	return m.invoke(ctx, c, "provisional_top_up_canister", struct {
		Canister ic.CanisterID `candid:"canister_id"`
		Amount   ic.Cycles     `candid:"amount"`
	}{c, cycles})
}

// InstallMode is install, reinstall or upgrade.
type InstallMode struct {
	candid.OneOf
	Install   *candid.Unit     `candid:"install"`
	Reinstall *candid.Unit     `candid:"reinstall"`
	Upgrade   **UpgradeOptions `candid:"upgrade"`
}

// UpgradeOptions tell what an upgrade keeps.
type UpgradeOptions struct {
	SkipPreUpgrade *bool        `candid:"skip_pre_upgrade"`
	Memory         *Persistence `candid:"wasm_memory_persistence"`
}

// Persistence of the Wasm memory: keep or replace.
type Persistence struct {
	candid.OneOf
	Keep    *candid.Unit `candid:"keep"`
	Replace *candid.Unit `candid:"replace"`
}

// The modes.
func Install() InstallMode   { return InstallMode{Install: &candid.Unit{}} }
func Reinstall() InstallMode { return InstallMode{Reinstall: &candid.Unit{}} }

// Upgrade with options; nil for none.
func Upgrade(o *UpgradeOptions) InstallMode { return InstallMode{Upgrade: &o} }

// KeepMemory are the options of a canister with enhanced orthogonal persistence, as Motoko makes.
func KeepMemory() *UpgradeOptions {
	return &UpgradeOptions{Memory: &Persistence{Keep: &candid.Unit{}}}
}

// InstallCode installs a module, in chunks if it is large.
func (m Management) InstallCode(ctx context.Context, c ic.CanisterID, mode InstallMode, wasm, arg []byte) error {
	if len(wasm) > directWasm {
		return m.installChunked(ctx, c, mode, wasm, arg)
	}
	return m.invoke(ctx, c, "install_code", struct {
		Mode     InstallMode   `candid:"mode"`
		Canister ic.CanisterID `candid:"canister_id"`
		Wasm     []byte        `candid:"wasm_module"`
		Arg      []byte        `candid:"arg"`
	}{mode, c, wasm, arg})
}

type chunkHash struct {
	Hash []byte `candid:"hash"`
}

func (m Management) installChunked(ctx context.Context, c ic.CanisterID, mode InstallMode, wasm, arg []byte) error {
	if err := m.invoke(ctx, c, "clear_chunk_store", canisterArg{c}); err != nil {
		return err
	}
	var hashes []chunkHash
	for at := 0; at < len(wasm); at += chunkBytes {
		var h chunkHash
		if err := m.invoke(ctx, c, "upload_chunk", struct {
			Canister ic.CanisterID `candid:"canister_id"`
			Chunk    []byte        `candid:"chunk"`
		}{c, wasm[at:min(at+chunkBytes, len(wasm))]}, &h); err != nil {
			return err
		}
		hashes = append(hashes, h)
	}
	whole := sha256.Sum256(wasm)
	return m.invoke(ctx, c, "install_chunked_code", struct {
		Mode   InstallMode    `candid:"mode"`
		Target ic.CanisterID  `candid:"target_canister"`
		Store  *ic.CanisterID `candid:"store_canister"`
		Hashes []chunkHash    `candid:"chunk_hashes_list"`
		Whole  []byte         `candid:"wasm_module_hash"`
		Arg    []byte         `candid:"arg"`
	}{mode, c, nil, hashes, whole[:], arg})
}

// Uninstall removes a canister's code and memory.
func (m Management) Uninstall(ctx context.Context, c ic.CanisterID) error {
	return m.invoke(ctx, c, "uninstall_code", canisterArg{c})
}

// Start lets a canister take calls.
func (m Management) Start(ctx context.Context, c ic.CanisterID) error {
	return m.invoke(ctx, c, "start_canister", canisterArg{c})
}

// Stop waits until a canister has ended its calls.
func (m Management) Stop(ctx context.Context, c ic.CanisterID) error {
	return m.invoke(ctx, c, "stop_canister", canisterArg{c})
}

// Delete removes a stopped canister.
func (m Management) Delete(ctx context.Context, c ic.CanisterID) error {
	return m.invoke(ctx, c, "delete_canister", canisterArg{c})
}

// Update changes settings.
func (m Management) Update(ctx context.Context, c ic.CanisterID, s Settings) error {
	return m.invoke(ctx, c, "update_settings", struct {
		Canister ic.CanisterID `candid:"canister_id"`
		Settings Settings      `candid:"settings"`
	}{c, s})
}

// CanisterStatus is the part of canister_status that tools show.
type CanisterStatus struct {
	Status     Running        `candid:"status"`
	ModuleHash *[]byte        `candid:"module_hash"`
	MemorySize candid.Natural `candid:"memory_size"`
	Cycles     ic.Cycles      `candid:"cycles"`
	Settings   struct {
		Controllers []ic.Principal `candid:"controllers"`
	} `candid:"settings"`
}

// Running is running, stopping or stopped.
type Running struct {
	candid.OneOf
	Running  *candid.Unit `candid:"running"`
	Stopping *candid.Unit `candid:"stopping"`
	Stopped  *candid.Unit `candid:"stopped"`
}

func (r Running) String() string {
	switch {
	case r.Running != nil:
		return "running"
	case r.Stopping != nil:
		return "stopping"
	}
	return "stopped"
}

// StatusOf asks for a canister's status.
func (m Management) StatusOf(ctx context.Context, c ic.CanisterID) (*CanisterStatus, error) {
	out := new(CanisterStatus)
	return out, m.invoke(ctx, c, "canister_status", canisterArg{c}, out)
}

// invoke calls a method of the management canister.
func (m Management) invoke(ctx context.Context, effective ic.CanisterID, method string, arg any, out ...any) error {
	reply, err := m.CallAt(ctx, effective, ic.CanisterID{Principal: ic.Management}, method, candid.Marshal(arg))
	if err == nil {
		err = candid.Unmarshal(reply, out...)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", method, err)
	}
	return nil
}
