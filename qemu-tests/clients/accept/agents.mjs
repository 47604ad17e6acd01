// agent-js of both generations: identities, delegations, calls, queries,
// certificates, the management canister.
//
//	node agents.mjs --url URL --wasm DIR --generation core|dfinity
import { authenticators, canisterSignature } from './signers.mjs';
import { check, client, code, done, equal, flags, holds, keep, matches, rejects, until, upgrade } from './lib.mjs';

const c = await client();
const { A, ID, IDL, Principal } = c;
const methods = (IDL) => ({ inc: IDL.Func([], [IDL.Nat], []), whoami: IDL.Func([], [IDL.Principal, IDL.Bool], []), getTicks: IDL.Func([], [IDL.Nat], ['query']),
  childValue: IDL.Func([], [IDL.Nat], ['composite_query']), fail: IDL.Func([], [], []), forever: IDL.Func([], [], []), log: IDL.Func([IDL.Text], [], []),
  echo: IDL.Func([IDL.Vec(IDL.Nat8)], [IDL.Vec(IDL.Nat8)], []), echoQuery: IDL.Func([IDL.Vec(IDL.Nat8)], [IDL.Vec(IDL.Nat8)], ['query']),
  certify: IDL.Func([IDL.Vec(IDL.Nat8)], [], []), getCert: IDL.Func([], [IDL.Opt(IDL.Vec(IDL.Nat8))], ['query']),
  replicated: IDL.Func([], [IDL.Bool], ['query']), balance: IDL.Func([], [IDL.Nat], []) });
const id = await c.create();
const canister = c.actor(id, methods);
const by = async (identity, canisterId = id) => (await c.as(identity)).actor(canisterId, methods);

await check('status: healthy', async () => equal((await c.agent.status()).replica_health_status, 'healthy'));
await check('install', () => c.install(id, code('mo-Suite')));
await check('update, the certificate verified', async () => equal(await canister.inc(), 1n));
await check('query, the node signature verified', async () => equal(await canister.getTicks(), 0n));
await check('a composite query that traps', () => rejects(canister.childValue(), /IC0503|no child/));

// Who calls.
for (const [name, make] of [
  ['Ed25519', () => ID.Ed25519KeyIdentity.generate()], ['P-256', () => ID.ECDSAKeyIdentity.generate()],
  ['secp256k1', () => c.secp256k1.generate()], ['anonymous', () => new A.AnonymousIdentity()]]) {
  await check(`caller: ${name}`, async () => {
    const identity = await make();
    equal((await (await by(identity)).whoami())[0].toText(), identity.getPrincipal().toText());
  });
}
for (const [name, make] of authenticators) {
  await check(`caller: WebAuthn, ${name}`, async () => {
    const identity = make(ID.WebAuthnIdentity);
    equal((await (await by(identity)).whoami())[0].toText(), identity.getPrincipal().toText());
  });
}
await check('caller: a canister that signs, as Internet Identity does', async () => {
  const key = ID.Ed25519KeyIdentity.generate();
  const identity = await canisterSignature(c, id, canister, key);
  equal((await (await by(identity)).whoami())[0].toText(), identity.getPrincipal().toText());
  await canister.certify(new Uint8Array(32)); // what it signed stays signed: the certificate proves it
  equal((await (await by(identity)).whoami())[0].toText(), identity.getPrincipal().toText());
});
const delegate = async (from, options = {}, lifeMs = 600_000) => {
  const key = ID.Ed25519KeyIdentity.generate();
  return [key, await ID.DelegationChain.create(from, key.getPublicKey(), new Date(Date.now() + lifeMs), options)];
};
await check('caller: delegation with targets', async () => {
  const [key, chain] = await delegate(c.identity, { targets: [id] });
  equal((await (await by(ID.DelegationIdentity.fromDelegation(key, chain))).whoami())[0].toText(), c.principal.toText());
});
await check('caller: a chain of two delegations', async () => {
  const [key, chain] = await delegate(c.identity);
  const last = ID.Ed25519KeyIdentity.generate();
  const longer = await ID.DelegationChain.create(key, last.getPublicKey(), new Date(Date.now() + 600_000), { previous: chain });
  equal((await (await by(ID.DelegationIdentity.fromDelegation(last, longer))).whoami())[0].toText(), c.principal.toText());
});
await check('refused: a delegation for another canister', async () => {
  const [key, chain] = await delegate(c.identity, { targets: [Principal.fromText('rrkah-fqaaa-aaaaa-aaaaq-cai')] });
  await rejects((async () => (await by(ID.DelegationIdentity.fromDelegation(key, chain))).whoami())(), /400|403|target|delegat/i);
});
await check('refused: an expired delegation', async () => {
  const [key, chain] = await delegate(c.identity, {}, -60_000);
  await rejects((async () => (await by(ID.DelegationIdentity.fromDelegation(key, chain))).whoami())(), /400|403|expired/i);
});

// Rejections reach the user as what they are.
await check('rejected by the canister', () => rejects(canister.fail(), /IC0406|no/));
await check('no such canister', async () => rejects(c.actor(Principal.fromText('renrk-eyaaa-aaaaa-aaada-cai'), methods).getTicks(), /IC0301|not found/));
await check('no such method', async () => rejects(c.actor(id, (IDL) => ({ absent: IDL.Func([], [], []) })).absent(), /IC0536|no update method/));
await check('bad argument', async () => rejects(c.actor(id, (IDL) => ({ log: IDL.Func([IDL.Nat], [], []) })).log(7n), /IC0503/));
// Where the machine is slow the answer comes by polling, and there the current generation's actor stumbles over its own error: its agent does not.
const forever = () => c.agent.update ? c.agent.update(id, { methodName: 'forever', arg: new Uint8Array(IDL.encode([], [])) }) : canister.forever();
await check('a loop without end is stopped', () => rejects(forever(), /IC0522|instruction/i));
await check('1.9 MB there and back', async () => equal((await canister.echo(new Uint8Array(1_900_000).fill(7))).length, 1_900_000));
await check('1.9 MB there and back, as a query', async () => equal((await canister.echoQuery(new Uint8Array(1_900_000).fill(7))).length, 1_900_000));
await check('a query, sent as an update', async () => {
  const update = c.actor(id, (IDL) => ({ replicated: IDL.Func([], [IDL.Bool], []) }));
  equal([await update.replicated(), await canister.replicated()], [true, false]);
});
await check('50 updates at once', async () => equal((await Promise.all(Array.from({ length: 50 }, () => canister.inc()))).length, 50));
await check('50 queries at once', async () => equal((await Promise.all(Array.from({ length: 50 }, () => canister.getTicks()))).length, 50));

// Certified facts.
await check('read_state: module, controllers, Candid, time, subnet', async () => {
  const got = await A.CanisterStatus.request({ agent: c.agent, canisterId: id, paths: ['module_hash', 'controllers', 'candid', 'time', 'subnet'] });
  holds(got.get('module_hash') && got.get('controllers')?.length === 1 && /whoami/.test(got.get('candid')) && got.get('time') && got.get('subnet'), [...got.keys()]);
});
await check('read_state of the subnet', async () => {
  const got = await A.CanisterStatus.request({ agent: c.agent, canisterId: id, paths: ['subnet'] });
  holds(got.get('subnet').nodeKeys?.size > 0, 'no node keys');
  if (!A.SubnetStatus) return; // the previous generation has none
  const { subnetId } = got.get('subnet');
  const subnet = await A.SubnetStatus.request({ agent: c.agent, subnetId: Principal.fromText(subnetId), paths: ['time', 'publicKey', 'canisterRanges', 'nodeKeys'] });
  holds([...subnet.values()].every(Boolean), [...subnet.keys()]);
});

// The management canister.
const { ic } = c;
await check('settings', async () => {
  await c.update(id, { freezing_threshold: [1000n], controllers: [[c.principal, Principal.anonymous()]], memory_allocation: [100_000_000n], environment_variables: [[{ name: 'a', value: 'b' }]] });
  const { settings } = await ic.canister_status({ canister_id: id });
  equal([settings.freezing_threshold, settings.controllers.length, settings.memory_allocation, settings.environment_variables.length], [1000n, 2, 100_000_000n, 1]);
});
await check('status and info as queries', async () => {
  const status = await ic.canister_status({ canister_id: id });
  const info = await ic.canister_info({ canister_id: id, num_requested_changes: [10n] });
  equal([Object.keys(status.status)[0], info.module_hash.length, info.recent_changes.length > 1], ['running', 1, true]);
});
await check('only controllers may', async () => {
  const other = await c.as(ID.Ed25519KeyIdentity.generate());
  await rejects(other.ic.stop_canister({ canister_id: id }), /IC0512|controller/i);
  await rejects(other.ic.canister_status({ canister_id: id }), /IC0542|not allowed to read/i);
});
await check('stop, refuse, start', async () => {
  await ic.stop_canister({ canister_id: id });
  await rejects(canister.inc(), /IC0508|stopped/i);
  await ic.start_canister({ canister_id: id });
  await canister.inc();
});
await check('snapshot: take, change, load, list, delete', async () => {
  const before = await canister.inc();
  const { id: snapshot_id } = await ic.take_canister_snapshot({ canister_id: id, replace_snapshot: [], uninstall_code: [], sender_canister_version: [] });
  await canister.inc();
  await ic.stop_canister({ canister_id: id });
  await ic.load_canister_snapshot({ canister_id: id, snapshot_id, sender_canister_version: [] });
  await ic.start_canister({ canister_id: id });
  equal(await canister.inc(), before + 1n);
  equal((await ic.list_canister_snapshots({ canister_id: id })).length, 1);
  await ic.delete_canister_snapshot({ canister_id: id, snapshot_id });
  equal((await ic.list_canister_snapshots({ canister_id: id })).length, 0);
});
await check('logs', async () => {
  await canister.log('a line');
  const { canister_log_records: lines } = await ic.fetch_canister_logs({ canister_id: id });
  equal(new TextDecoder().decode(lines.at(-1).content), 'a line');
});
await check('chunk store', async () => {
  const { hash } = await ic.upload_chunk({ canister_id: id, chunk: new Uint8Array(1000) });
  equal((await ic.stored_chunks({ canister_id: id })).map((h) => h.hash), [hash]);
  await ic.clear_chunk_store({ canister_id: id });
  equal(await ic.stored_chunks({ canister_id: id }), []);
});
await check('top up', async () => {
  const before = await canister.balance();
  await ic.provisional_top_up_canister({ canister_id: id, amount: 5_000_000_000_000n });
  holds(await canister.balance() > before + 4_000_000_000_000n, 'the cycles did not arrive');
});
await check('a canister at a wanted id', async () => {
  const wanted = Principal.fromUint8Array(Uint8Array.from([0, 0, 0, 0, 0, ...crypto.getRandomValues(new Uint8Array(3)), 1, 1])).toText();
  equal((await c.create({}, wanted)).toText(), wanted);
  await rejects(c.create({}, wanted), /already exists/);
});
await check('install twice is refused, reinstall is not', async () => {
  await rejects(c.install(id, code('mo-Suite')), /IC0538|already|empty/i);
  await c.install(id, code('mo-Suite'), undefined, { reinstall: null });
  equal(await canister.inc(), 1n);
});
await check('an upgrade without keep is refused', () => rejects(c.install(id, code('mo-Suite'), undefined, upgrade), /orthogonal|persistence/i));
await check('an upgrade with keep', async () => { await c.install(id, code('mo-Suite'), undefined, keep); equal(await canister.inc(), 2n); });
await check('uninstall', async () => {
  await ic.uninstall_code({ canister_id: id, sender_canister_version: [] });
  await rejects(canister.inc(), /IC0537/);
});
await check('delete', async () => {
  await ic.stop_canister({ canister_id: id });
  await ic.delete_canister({ canister_id: id });
  await rejects(canister.getTicks(), /IC0301/);
});
done(`agent-js ${flags.generation}`);
