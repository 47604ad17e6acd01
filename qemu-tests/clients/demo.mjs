// The demo: a counter on a node, by clients that we did not write.
//
//	node demo.mjs --url http://127.0.0.1:4943 --wasm counter.wasm --state demo.json [--check]
//
// The first run creates and installs the canister and counts to two; a later
// run, with the same state file, finds the counter where it was left. --check
// only reads. It exits 1 at the first thing that is not as it should be.
import { createHash } from 'node:crypto';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { Principal } from '@icp-sdk/core/principal';
import { connect, counter, create, install, moduleHash } from './agent.mjs';

const { values: flags } = parseArgs({ options: {
  url: { type: 'string' }, wasm: { type: 'string' }, state: { type: 'string' }, check: { type: 'boolean', default: false },
} });

const started = Date.now();
const say = (what, detail) => console.log(`demo: ${what.padEnd(26)} ${detail}  (${((Date.now() - started) / 1000).toFixed(1)} s)`);
const same = (what, got, want) => {
  if (got !== want) throw new Error(`${what} is ${got}, but should be ${want}`);
};
const hex = (bytes) => Buffer.from(bytes).toString('hex');

// remember is called after each step, so that a run cut short is no riddle to the next.
const remember = (id, count) => writeFileSync(flags.state, JSON.stringify({ canister: id.toText(), count: Number(count) }) + '\n');

async function found(agent, state) {
  const id = Principal.fromText(state.canister);
  const got = await counter(agent, id).get();
  same('the count that the node kept', got, BigInt(state.count));
  say('counter found again', `canister ${id.toText()} still says ${got}`);
  return id;
}

async function fresh(agent, wasm) {
  const id = await create(agent);
  say('canister created', id.toText());
  await install(agent, id, wasm);
  say('Motoko code installed', `${wasm.length} bytes, wasm64`);
  const certified = await moduleHash(agent, id);
  same('the certified module hash', typeof certified === 'string' ? certified.replace(/^0x/, '') : hex(certified), createHash('sha256').update(wasm).digest('hex'));
  say('module hash certified', 'equal to the SHA-256 of the file');
  remember(id, 0);
  return id;
}

async function main() {
  const agent = await connect(flags.url);
  const wasm = new Uint8Array(readFileSync(flags.wasm));
  const state = existsSync(flags.state) ? JSON.parse(readFileSync(flags.state)) : undefined;
  const id = state ? await found(agent, state) : await fresh(agent, wasm);
  if (flags.check) return;
  const c = counter(agent, id);
  const before = BigInt(state?.count ?? 0);
  for (const n of [1n, 2n]) {
    const got = await c.inc();
    same('inc', got, before + n);
    remember(id, got);
    say('inc', `${got}  certificate verified`);
  }
  const got = await c.get();
  same('get', got, before + 2n);
  say('get', `${got}  node signature verified`);
}

main().catch((err) => {
  console.error(`demo: FAILED: ${err.message ?? err}`);
  if (process.env.ASHLAR_TRACE) console.error(err);
  process.exit(1);
});
