// The management canister's interface, as Candid: what the suites call of it.
export const idl = ({ IDL }) => {
  const { Opt, Vec, Record, Variant, Func, Nat, Nat8, Nat32, Nat64, Text, Bool, Null } = IDL;
  const id = IDL.Principal, blob = Vec(Nat8), none = Record({}), version = Opt(Nat64);
  const visibility = Variant({ controllers: Null, public: Null, allowed_viewers: Vec(id) });
  const variable = Record({ name: Text, value: Text });
  const values = {
    controllers: Vec(id), compute_allocation: Nat, memory_allocation: Nat, freezing_threshold: Nat, reserved_cycles_limit: Nat,
    log_visibility: visibility, snapshot_visibility: visibility, status_visibility: visibility, log_memory_limit: Nat,
    wasm_memory_limit: Nat, wasm_memory_threshold: Nat, minimum_incoming_canister_call_cycles: Nat, environment_variables: Vec(variable),
  };
  const settings = Record(Object.fromEntries(Object.entries(values).map(([k, t]) => [k, Opt(t)])));
  const one = Record({ canister_id: id }), chunk = Record({ hash: blob });
  const mode = Variant({ install: Null, reinstall: Null, upgrade: Opt(Record({
    skip_pre_upgrade: Opt(Bool), wasm_memory_persistence: Opt(Variant({ keep: Null, replace: Null })) })) });
  const snapshot = Record({ id: blob, taken_at_timestamp: Nat64, total_size: Nat64 });
  const status = Record({
    status: Variant({ running: Null, stopping: Null, stopped: Null }), ready_for_migration: Bool, version: Nat64, settings: Record(values),
    module_hash: Opt(blob), memory_size: Nat, cycles: Nat, reserved_cycles: Nat, idle_cycles_burned_per_day: Nat,
    query_stats: Record({ num_calls_total: Nat, num_instructions_total: Nat, request_payload_bytes_total: Nat, response_payload_bytes_total: Nat }),
  });
  const change = Record({ timestamp_nanos: Nat64, canister_version: Nat64 });
  return IDL.Service({
    provisional_create_canister_with_cycles: Func([Record({ amount: Opt(Nat), settings: Opt(settings), specified_id: Opt(id), sender_canister_version: version })], [one], []),
    provisional_top_up_canister: Func([Record({ canister_id: id, amount: Nat })], [], []),
    install_code: Func([Record({ mode, canister_id: id, wasm_module: blob, arg: blob, sender_canister_version: version })], [], []),
    upload_chunk: Func([Record({ canister_id: id, chunk: blob })], [chunk], []),
    stored_chunks: Func([one], [Vec(chunk)], []),
    clear_chunk_store: Func([one], [], []),
    install_chunked_code: Func([Record({ mode, target_canister: id, store_canister: Opt(id), chunk_hashes_list: Vec(chunk), wasm_module_hash: blob, arg: blob, sender_canister_version: version })], [], []),
    uninstall_code: Func([Record({ canister_id: id, sender_canister_version: version })], [], []),
    start_canister: Func([one], [], []),
    stop_canister: Func([one], [], []),
    delete_canister: Func([one], [], []),
    update_settings: Func([Record({ canister_id: id, settings, sender_canister_version: version })], [], []),
    canister_status: Func([one], [status], ['query']),
    canister_info: Func([Record({ canister_id: id, num_requested_changes: Opt(Nat64) })], [Record({ total_num_changes: Nat64, recent_changes: Vec(change), module_hash: Opt(blob), controllers: Vec(id) })], ['query']),
    take_canister_snapshot: Func([Record({ canister_id: id, replace_snapshot: Opt(blob), uninstall_code: Opt(Bool), sender_canister_version: version })], [snapshot], []),
    load_canister_snapshot: Func([Record({ canister_id: id, snapshot_id: blob, sender_canister_version: version })], [], []),
    list_canister_snapshots: Func([one], [Vec(snapshot)], []),
    delete_canister_snapshot: Func([Record({ canister_id: id, snapshot_id: blob })], [], []),
    fetch_canister_logs: Func([one], [Record({ canister_log_records: Vec(Record({ idx: Nat64, timestamp_nanos: Nat64, content: blob })) })], ['query']),
  });
};
