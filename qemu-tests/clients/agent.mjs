// What the scripts here share: an agent that trusts one root key and checks
// every certificate and every query signature, and the management canister.
import { createHash } from 'node:crypto';
import { HttpAgent, Actor, CanisterStatus } from '@icp-sdk/core/agent';
import { IDL } from '@icp-sdk/core/candid';
import { Ed25519KeyIdentity } from '@icp-sdk/core/identity';
import { Principal } from '@icp-sdk/core/principal';

// Any id of the subnet's range routes a call that has no canister yet.
const anyCanister = Principal.fromText('rwlgt-iiaaa-aaaaa-aaaaa-cai');

// identity is always the same for a name: a second run finds its canister.
export const identity = (name) =>
  Ed25519KeyIdentity.generate(createHash('sha256').update('ashlar demo ' + name).digest());

export async function connect(url, name = 'demo') {
  const agent = await HttpAgent.create({ host: url, identity: identity(name), verifyQuerySignatures: true, retryTimes: 3 });
  await agent.fetchRootKey();
  return agent;
}

const settings = IDL.Record({ controllers: IDL.Opt(IDL.Vec(IDL.Principal)) });
const canister = IDL.Record({ canister_id: IDL.Principal });
const upgradeOptions = IDL.Opt(IDL.Record({
  skip_pre_upgrade: IDL.Opt(IDL.Bool),
  wasm_memory_persistence: IDL.Opt(IDL.Variant({ keep: IDL.Null, replace: IDL.Null })),
}));
const managementIDL = () => IDL.Service({
  provisional_create_canister_with_cycles: IDL.Func([IDL.Record({ amount: IDL.Opt(IDL.Nat), settings: IDL.Opt(settings) })], [canister], []),
  install_code: IDL.Func([IDL.Record({
    mode: IDL.Variant({ install: IDL.Null, reinstall: IDL.Null, upgrade: upgradeOptions }),
    canister_id: IDL.Principal, wasm_module: IDL.Vec(IDL.Nat8), arg: IDL.Vec(IDL.Nat8),
  })], [], []),
  canister_status: IDL.Func([canister], [IDL.Record({
    status: IDL.Variant({ running: IDL.Null, stopping: IDL.Null, stopped: IDL.Null }),
    cycles: IDL.Nat, memory_size: IDL.Nat, module_hash: IDL.Opt(IDL.Vec(IDL.Nat8)),
  })], []),
});

export const management = (agent) => Actor.createActor(managementIDL, {
  agent,
  canisterId: Principal.managementCanister(),
  callTransform: (_, args) => ({ effectiveCanisterId: args[0]?.canister_id ?? anyCanister }),
});

export const counter = (agent, canisterId) => Actor.createActor(
  ({ IDL }) => IDL.Service({ inc: IDL.Func([], [IDL.Nat], []), get: IDL.Func([], [IDL.Nat], ['query']) }),
  { agent, canisterId });

export async function create(agent) {
  const got = await management(agent).provisional_create_canister_with_cycles({ amount: [], settings: [] });
  return got.canister_id;
}

export const install = (agent, canisterId, wasm, mode = { install: null }) =>
  management(agent).install_code({ mode, canister_id: canisterId, wasm_module: wasm, arg: new Uint8Array() });

// moduleHash asks for a certified fact: the hash of the code that is installed.
export async function moduleHash(agent, canisterId) {
  const got = await CanisterStatus.request({ agent, canisterId, paths: ['module_hash'] });
  return got.get('module_hash');
}
