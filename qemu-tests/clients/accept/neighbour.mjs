// Bad neighbours: canisters loop, call themselves, flood their logs and
// grow, in every round. A canister beside them must still be served.
//
//	node neighbour.mjs --url URL --wasm DIR
import { check, client, code, done, equal, holds } from './lib.mjs';

const neighbours = 3, calls = 5;
const slowest = 6_000; // ms for one update beside them: a round ends after some thousand million instructions
const c = await client();
const median = (list) => list.sort((a, b) => a - b)[Math.floor(list.length / 2)];
const methods = ({ Func, Nat }) => ({ start: Func([], [], []), stop: Func([], [], []), done: Func([], [Nat], ['query']), spin: Func([Nat], [], []) });
const token = c.actor(await c.deploy(code('mo-Minter')), ({ Func, Vec, Principal }) => ({ get_default_subnets: Func([], [Vec(Principal)], []) }));
const busy = [];

async function timed() {
  const times = [];
  for (let i = 0; i < calls; i++) {
    const began = performance.now();
    await token.get_default_subnets(); // as an update: through the rounds
    times.push(performance.now() - began);
  }
  return { median: median(times), worst: Math.max(...times) };
}

let quiet;
await check('alone', async () => { quiet = await timed(); });
await check('bad neighbours begin', async () => {
  for (let i = 0; i < neighbours; i++) {
    const id = await c.deploy(code('mo-Busy'));
    busy.push({ id, actor: c.actor(id, methods) });
  }
  await Promise.all(busy.map((b) => b.actor.start()));
});
await check('beside them', async () => {
  const loud = await timed();
  console.log(`      median ${loud.median.toFixed(0)} ms, worst ${loud.worst.toFixed(0)} ms; alone ${quiet.median.toFixed(0)} and ${quiet.worst.toFixed(0)} ms`);
  holds(loud.worst < slowest, `an update took ${loud.worst.toFixed(0)} ms, the limit is ${slowest}`);
});
await check('they work, too', async () => holds((await Promise.all(busy.map((b) => b.actor.done()))).every((n) => n > 0n), 'one of them was never served'));
await check('each can be stopped from outside and deleted', async () => {
  await Promise.all(busy.map(async ({ id }) => {
    await c.ic.uninstall_code({ canister_id: id, sender_canister_version: [] });
    await c.ic.stop_canister({ canister_id: id });
    await c.ic.delete_canister({ canister_id: id });
  }));
});
await check('alone again', async () => { const after = await timed(); holds(after.median < slowest, `${after.median} ms`); });
done('neighbours');
