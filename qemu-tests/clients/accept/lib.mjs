// What the suites here share: clients of either generation of agent-js, the
// management canister, and a list of named checks that says what failed.
import { createHash, randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { idl as managementIDL } from './management.mjs';

export const { values: flags } = parseArgs({ options: {
  url: { type: 'string' }, urls: { type: 'string' }, wasm: { type: 'string' }, work: { type: 'string' }, replica: { type: 'string' }, generation: { type: 'string', default: 'core' },
} });

const load = (generation, name) => import(generation === 'core' ? `@icp-sdk/core/${name}` : '@dfinity/' + name.replace('/', '-'));

// client is one user with an agent that trusts one root key and checks all signatures.
export async function client({ generation = flags.generation, identity, url = flags.url, fetch } = {}) {
  const [A, { IDL }, { Principal }, ID, K] = await Promise.all(['agent', 'candid', 'principal', 'identity', 'identity/secp256k1'].map((n) => load(generation, n)));
  const me = identity ?? ID.Ed25519KeyIdentity.generate(new Uint8Array(randomBytes(32)));
  const agent = await A.HttpAgent.create({ host: url, identity: me, ...(fetch && { fetch }), shouldFetchRootKey: true, verifyQuerySignatures: true });
  const anywhere = Principal.fromText('rwlgt-iiaaa-aaaaa-aaaaa-cai');
  const route = (_, [arg]) => ({ effectiveCanisterId: arg?.canister_id ?? arg?.target_canister ?? anywhere });
  const ic = A.Actor.createActor(managementIDL, { agent, canisterId: Principal.managementCanister(), callTransform: route, queryTransform: route });
  const c = { A, IDL, Principal, ID, secp256k1: K.Secp256k1KeyIdentity, agent, ic, identity: me, principal: me.getPrincipal() };
  c.as = (identity) => client({ generation, identity, url });
  c.actor = (canisterId, methods) => A.Actor.createActor(({ IDL }) => IDL.Service(methods(IDL)), { agent, canisterId });
  c.create = async (settings, specified) => (await ic.provisional_create_canister_with_cycles({
    amount: [100_000_000_000_000n], settings: settings ? [{ ...unchanged, ...settings }] : [], specified_id: specified ? [Principal.fromText(specified)] : [], sender_canister_version: [] })).canister_id;
  c.install = (canisterId, code, arg = IDL.encode([], []), mode = { install: null }) => install(c, canisterId, code, new Uint8Array(arg), mode);
  c.deploy = async (code, arg) => { const id = await c.create(); await c.install(id, code, arg); return id; };
  c.update = (canister_id, settings) => ic.update_settings({ canister_id, settings: { ...unchanged, ...settings }, sender_canister_version: [] });
  return c;
}

// unchanged is a settings record that sets nothing.
const unchanged = Object.fromEntries(['controllers', 'compute_allocation', 'memory_allocation', 'freezing_threshold', 'reserved_cycles_limit',
  'log_visibility', 'snapshot_visibility', 'status_visibility', 'log_memory_limit', 'wasm_memory_limit', 'wasm_memory_threshold',
  'minimum_incoming_canister_call_cycles', 'environment_variables'].map((k) => [k, []]));

export const keep = { upgrade: [{ skip_pre_upgrade: [], wasm_memory_persistence: [{ keep: null }] }] };
export const upgrade = { upgrade: [] };
export const code = (name) => new Uint8Array(readFileSync(`${flags.wasm}/${name}.wasm`));

const chunkBytes = 1 << 20; // the largest chunk of the interface specification
const messageBytes = 1_900_000; // below the largest ingress message

async function install(c, canister_id, wasm_module, arg, mode) {
  if (wasm_module.length < messageBytes) return c.ic.install_code({ mode, canister_id, wasm_module, arg, sender_canister_version: [] });
  const chunk_hashes_list = [];
  for (let at = 0; at < wasm_module.length; at += chunkBytes)
    chunk_hashes_list.push(await c.ic.upload_chunk({ canister_id, chunk: wasm_module.subarray(at, at + chunkBytes) }));
  const wasm_module_hash = new Uint8Array(createHash('sha256').update(wasm_module).digest());
  return c.ic.install_chunked_code({ mode, target_canister: canister_id, store_canister: [], chunk_hashes_list, wasm_module_hash, arg, sender_canister_version: [] });
}

let passed = 0;
const failures = [];

export async function check(name, test) {
  const began = performance.now();
  try {
    await test();
    passed++;
    console.log(`ok    ${name} (${(performance.now() - began).toFixed(0)} ms)`);
  } catch (err) {
    failures.push(name);
    console.log(`FAIL  ${name}: ${String(err.message ?? err).slice(0, 2000)}`);
  }
}

export function done(suite) {
  console.log(failures.length ? `${suite}: ${failures.length} of ${passed + failures.length} FAILED: ${failures.join('; ')}` : `${suite}: ${passed} passed`);
  process.exit(failures.length ? 1 : 0);
}

const show = (v) => JSON.stringify(v, (_, x) => (typeof x === 'bigint' ? `${x}n` : x instanceof Uint8Array ? Buffer.from(x).toString('hex') : x?._isPrincipal ? x.toText() : x));

export function equal(got, want) {
  if (show(got) !== show(want)) throw new Error(`got ${show(got)}, want ${show(want)}`);
}

export function matches(got, pattern) {
  if (!pattern.test(got)) throw new Error(`got ${JSON.stringify(got)}, want ${pattern}`);
}

export function holds(condition, what) {
  if (!condition) throw new Error(typeof what === 'string' ? what : show(what));
}

// rejects expects an error whose message has a pattern.
export async function rejects(promise, pattern) {
  let got;
  try {
    got = await promise;
  } catch (err) {
    return matches(String(err.message ?? err), pattern);
  }
  throw new Error(`did not fail but answered ${show(got)}`);
}

// until waits for something that rounds bring, not for a length of time.
export async function until(what, test, patience = 20_000) {
  const end = Date.now() + patience;
  while (!(await test())) {
    if (Date.now() > end) throw new Error(`${what}: not within ${patience / 1000} s`);
    await new Promise((next) => setTimeout(next, 50));
  }
}
