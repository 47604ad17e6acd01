// A TypeScript canister by Azle: QuickJS in 3.5 MB of Wasm, so uploaded in chunks.
//
//	node azle.mjs --url URL --wasm DIR
import { check, client, code, done, equal, holds, matches, rejects, until, upgrade } from './lib.mjs';

const c = await client();
const { IDL } = c;
const start = IDL.encode([IDL.Nat], [7n]);
const user = IDL.Record({ id: IDL.Principal, name: IDL.Text, age: IDL.Nat32 });
const id = await c.create();
const a = c.actor(id, ({ Func, Nat, Nat8, Nat32, Nat64, Text, Bool, Vec, Opt }) => ({
  get: Func([], [Nat], ['query']), inc: Func([], [Nat], []), put: Func([Text, Nat32], [Opt(user)], []), all: Func([], [Vec(user)], ['query']),
  viaSelf: Func([], [Nat], []), random: Func([], [Vec(Nat8)], []), caught: Func([], [Text], []), boom: Func([], [], []), timers: Func([], [], []),
  getTicks: Func([], [Nat32], ['query']), certify: Func([Vec(Nat8)], [], []), certified: Func([], [Bool], ['query']), balance: Func([], [Nat], ['query']), busy: Func([Nat32], [Nat64], []),
}));
await check('install in chunks', () => c.install(id, code('azle'), start));
await check('update, query', async () => { equal(await a.inc(), 8n); equal(await a.get(), 8n); });
await check('a map in stable memory', async () => {
  equal(await a.put('a', 5), []);
  equal((await a.put('a', 6))[0].age, 5);
  equal((await a.all()).map((u) => [u.id.toText(), u.name, u.age]), [[c.principal.toText(), 'a', 6]]);
});
await check('a call to itself', async () => equal(await a.viaSelf(), 9n));
await check('raw_rand', async () => equal((await a.random()).length, 32));
await check('a trap reaches the user', () => rejects(a.boom(), /IC0503|boom in TypeScript/));
await check('a trap is caught', async () => matches(await a.caught(), /boom in TypeScript/));
await check('timers', async () => { await a.timers(); await until('ticks', async () => await a.getTicks() > 100); });
await check('certified data', async () => { await a.certify(Uint8Array.of(1, 2)); equal(await a.certified(), true); });
await check('cycles', async () => holds(await a.balance() > 90_000_000_000_000n, 'too few'));
await check('a loop', async () => holds(await a.busy(100_000) > 10_000_000n, 'too few instructions'));
await check('upgrade: the heap begins anew, stable memory stays', async () => {
  await c.install(id, code('azle'), start, upgrade);
  equal(await a.get(), 1007n);
  equal((await a.all()).length, 1);
});
done('Azle');
