// Motoko programs: what the language asks of the system, upgrades with kept
// memory, and the classical, 32-bit persistence of before.
//
//	node motoko.mjs --url URL --wasm DIR
import { check, client, code, done, equal, holds, keep, matches, rejects, until, upgrade } from './lib.mjs';

const c = await client();
const { A, IDL, Principal } = c;
const id = await c.create();
const s = c.actor(id, ({ Func, Nat, Nat32, Nat64, Int, Text, Bool, Vec, Nat8, Opt, Principal }) => {
  const u = (args, ...results) => Func(args, results, []), q = (args, ...results) => Func(args, results, ['query']);
  return {
    inc: u([], Nat), selfCalls: u([Nat], Nat), parallel: u([Nat], Nat), optimistic: u([], Nat), rejected: u([], Text), trapped: u([], Text),
    noMethod: u([], Text), noCanister: u([], Text), timeout: u([], Text), cleanup: u([]), cleanups: q([], Nat), raw: u([], Nat),
    spawn: u([Nat], Principal), addChild: u([Nat], Nat), upgradeChild: u([], Nat), reinstallChild: u([Nat], Nat), give: u([Nat], Nat, Nat),
    childValue: Func([], [Nat], ['composite_query']), startTimer: u([]), once: u([]), stopTimer: u([]), getTicks: q([], Nat), beat: u([Bool]), getBeats: q([], Nat),
    grow: u([Nat64], Nat64), peek: q([Nat64], Nat64, Nat64), hold: u([Nat], Nat), sum: q([Nat, Nat], Nat32), garbage: u([Nat], Nat), count: u([Nat], Nat64),
    setCert: u([Text]), getCert: q([], Opt(Vec(Nat8))), random: u([], Vec(Nat8)), now: u([], Int), balance: u([], Nat), burn: u([Nat], Nat),
    replicated: q([], Bool), replicatedUpdate: u([], Bool), version: u([], Nat64), subnet: u([], Principal), variable: u([Text], Opt(Text)), whoami: u([], Principal, Bool),
  };
});
await check('install', () => c.install(id, code('mo-Suite')));

// Calls.
await check('20 self calls, one after the other', async () => equal(await s.selfCalls(20n), 20n));
await check('100 calls in flight', async () => equal(await s.parallel(100n), (21n + 120n) * 100n / 2n));
await check('await?', async () => equal(await s.optimistic(), 42n));
await check('raw call, to_candid, from_candid', async () => equal(await s.raw(), 121n));
await check('a reject is caught', async () => equal(await s.rejected(), '#canister_reject no'));
await check('no method is caught', async () => matches(await s.noMethod(), /^#(canister_error|destination_invalid) .*(no update method|IC0536)/s));
await check('no canister is caught', async () => matches(await s.noCanister(), /^#destination_invalid /));
await check('cleanup runs when a callback traps', async () => { await rejects(s.cleanup(), /after await/); equal(await s.cleanups(), 1n); });

// Class factories.
let child;
await check('spawn', async () => { child = await s.spawn(10n); });
await check('call the child', async () => equal(await s.addChild(5n), 15n));
await check('a trap of the child is caught', async () => matches(await s.trapped(), /^#canister_error .*boom in the child/s));
await check('composite query', async () => equal(await s.childValue(), 15n));
await check('cycles: half kept, half refunded', async () => equal(await s.give(1_000_000_000n), [500_000_000n, 500_000_000n]));
await check('upgrade the child: its state is kept', async () => equal(await s.upgradeChild(), 15n));
await check('reinstall the child', async () => equal(await s.reinstallChild(3n), 3n));
await check('best-effort call: an answer or SYS_UNKNOWN', async () => matches(await s.timeout(), /^40$|^#system_unknown /));
await check('the parent controls the child', async () => {
  const { controllers } = await c.ic.canister_info({ canister_id: child, num_requested_changes: [] }).catch(() => ({ controllers: [] }));
  const got = await A.CanisterStatus.request({ agent: c.agent, canisterId: child, paths: ['controllers'] });
  equal([...got.get('controllers')].map(String), [id.toText()]);
});

// Timers.
await check('recurring timer', async () => { await s.startTimer(); await until('five ticks', async () => await s.getTicks() >= 5n); });
await check('timer of no delay', async () => { await s.once(); await until('a thousand ticks', async () => await s.getTicks() >= 1000n); });
await check('a cancelled timer rests', async () => {
  await s.stopTimer();
  const before = await s.getTicks();
  for (let i = 0; i < 5; i++) await s.inc(); // some rounds
  holds(await s.getTicks() <= before + 1n, 'it goes on');
});
await check('heartbeat', async () => { await s.beat(true); await until('three beats', async () => await s.getBeats() >= 3n); await s.beat(false); });

// Memory.
await check('regions', async () => {
  equal(await s.grow(100n), 0n);
  equal(await s.peek(0n), [100n, 0xDEADBEEFn]);
  equal(await s.grow(1000n), 100n);
  equal(await s.peek(100n), [1100n, 0xDEADBEEFn + 100n]);
});
await check('200 MB of heap', async () => {
  holds(await s.hold(25_000_000n) > 200_000_000n, 'too small');
  equal(await s.sum(24_000_000n, 25_000_000n), 7_000_000);
});
await check('the heap is kept over an upgrade', async () => { await c.install(id, code('mo-Suite'), undefined, keep); equal(await s.sum(0n, 1000n), 7000); });
await check('the collector has work', async () => equal(await s.garbage(100_000n), 99_999n));
await check('a loop of 100 million', async () => holds(await s.count(100_000_000n) > 100_000_000n, 'too few instructions'));
await check('instructions are the same each time', async () => equal(await s.count(100_000n), await s.count(100_000n)));

// The system.
await check('certified data', async () => {
  await s.setCert('hello');
  const [certificate] = await s.getCert();
  const made = await A.Certificate.create({ certificate: new Uint8Array(certificate), rootKey: c.agent.rootKey, principal: { canisterId: id } });
  equal(new TextDecoder().decode(made.lookup_path(['canister', id.toUint8Array(), 'certified_data']).value), 'hello');
});
await check('randomness', async () => { const [a, b] = [await s.random(), await s.random()]; equal(a.length, 32); holds(String(a) !== String(b), 'the same twice'); });
await check('time', async () => holds(Math.abs(Number(await s.now() / 1_000_000n) - Date.now()) < 30_000, 'far from ours'));
await check('balance, burn', async () => { const b = await s.balance(); equal(await s.burn(7_000_000_000n), 7_000_000_000n); holds(await s.balance() < b - 7_000_000_000n, 'not burnt'); });
await check('replicated or not', async () => equal([await s.replicated(), await s.replicatedUpdate()], [false, true]));
await check('canister version rises', async () => { const v = await s.version(); holds(await s.version() > v, 'it does not'); });
await check('subnet', async () => matches((await s.subnet()).toText(), /^[a-z0-9-]{63}$/));
await check('environment variables', async () => {
  await c.update(id, { environment_variables: [[{ name: 'PUBLIC_A', value: 'x' }]] });
  equal([await s.variable('PUBLIC_A'), await s.variable('B')], [['x'], []]);
});
await check('caller and controller', async () => { const [who, controls] = await s.whoami(); equal([who.toText(), controls], [c.principal.toText(), true]); });

// A token, upgraded to other code over the same memory.
const account = IDL.Record({ owner: IDL.Principal, subaccount: IDL.Opt(IDL.Vec(IDL.Nat8)) });
const failure = IDL.Variant({ BadFee: IDL.Record({ expected_fee: IDL.Nat }), InsufficientFunds: IDL.Record({ balance: IDL.Nat }) });
const transfer = IDL.Record({ to: account, amount: IDL.Nat, fee: IDL.Opt(IDL.Nat) });
const args = IDL.encode([IDL.Text, IDL.Principal, IDL.Nat], ['Test', c.principal, 1_000_000n]);
const tokenId = await c.create();
const token = c.actor(tokenId, ({ Func, Nat, Text, Bool, Variant }) => ({
  icrc1_name: Func([], [Text], ['query']), icrc1_total_supply: Func([], [Nat], ['query']), icrc1_balance_of: Func([account], [Nat], ['query']),
  icrc1_transfer: Func([transfer], [Variant({ Ok: Nat, Err: failure })], []), isUpgraded: Func([], [Bool], ['query']),
}));
const holder = (n) => ({ owner: Principal.fromUint8Array(Uint8Array.of(n, 1)), subaccount: [] });
await check('token: install', () => c.install(tokenId, code('mo-Token'), args));
await check('token: transfers', async () => {
  for (let i = 0; i < 5; i++) equal(await token.icrc1_transfer({ to: holder(i), amount: 100n, fee: [] }), { Ok: BigInt(i) });
  equal(await token.icrc1_balance_of(holder(3)), 100n);
  equal(await token.icrc1_balance_of({ owner: c.principal, subaccount: [] }), 1_000_000n - 5n * 110n);
  equal(await token.icrc1_transfer({ to: holder(1), amount: 10_000_000n, fee: [] }), { Err: { InsufficientFunds: { balance: 999_450n } } });
  equal(await token.icrc1_transfer({ to: holder(1), amount: 1n, fee: [1n] }), { Err: { BadFee: { expected_fee: 10n } } });
});
await check('token: upgraded to other code', async () => {
  await c.install(tokenId, code('mo-Token2'), args, keep);
  equal([await token.icrc1_name(), await token.isUpgraded(), await token.icrc1_balance_of(holder(3)), await token.icrc1_total_supply()], ['Test 2', true, 100n, 999_950n]);
});
await check('token: no upgrade to an incompatible program', async () => {
  await rejects(c.install(tokenId, code('mo-Suite'), undefined, keep), /IC0503|incompatible|memory/i);
  equal(await token.icrc1_name(), 'Test 2');
});

// Classical persistence.
const oldId = await c.create();
const old = c.actor(oldId, ({ Func, Nat, Nat64, Text, Opt }) => ({
  inc: Func([], [Nat], []), put: Func([Text, Nat], [], []), get: Func([], [Nat, Nat, Opt(Nat)], ['query']), stable_: Func([Nat64], [Nat64], []), garbage: Func([Nat], [Nat], []) }));
await check('classical: install, use', async () => {
  await c.install(oldId, code('classical-Counter'));
  equal([await old.inc(), await old.inc()], [1n, 2n]);
  await old.put('a', 7n);
  equal(await old.stable_(5n), 0n);
  equal(await old.get(), [2n, 2n, [7n]]);
});
await check('classical: garbage', async () => equal(await old.garbage(100_000n), 99_999n));
await check('classical: upgrade keeps what is stable', async () => {
  await c.install(oldId, code('classical-Counter'), undefined, upgrade);
  equal(await old.get(), [2n, 0n, [7n]]);
  equal(await old.stable_(6n), 5n);
});
await check('classical: keep is refused', () => rejects(c.install(oldId, code('classical-Counter'), undefined, keep), /persistence/i));
done('Motoko');
