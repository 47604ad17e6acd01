#!/usr/bin/env node
// What `icp network start` starts: a replica of ours, with the ledgers that the
// CLI expects on a local network.
//
//	launcher.mjs --state-dir D --bind A --gateway-port N --status-dir D ...   (the CLI's own command line)
//	ASHLAR_REPLICA: the replica; ASHLAR_WASM: the compiled canisters
//
// It says in STATUS/status.json when all is there, and ends at SIGINT.
import { spawn } from 'node:child_process';
import { renameSync, writeFileSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { parseArgs } from 'node:util';

const { values: asked } = parseArgs({ strict: false, options: {
  'state-dir': { type: 'string' }, 'status-dir': { type: 'string' }, bind: { type: 'string' }, 'gateway-port': { type: 'string', default: '0' },
  domain: { type: 'string', multiple: true, default: [] } } });

const replica = spawn(process.env.ASHLAR_REPLICA, ['--dev', '--listen', `${asked.bind}:${asked['gateway-port']}`, '--state', `${asked['state-dir']}/replica`,
  '--domain', ['localhost', ...asked.domain].join(',')], { stdio: ['ignore', 'pipe', 'inherit'], detached: true });
replica.on('exit', (code) => process.exit(code ?? 1));
for (const signal of ['SIGINT', 'SIGTERM']) process.on(signal, () => replica.kill(signal));

let url, rootKey;
for await (const line of createInterface({ input: replica.stdout })) {
  console.log(line);
  rootKey ??= line.match(/ root key ([0-9a-f]+)/)?.[1];
  url = line.match(/ replica: (\S+)/)?.[1];
  if (url) break;
}
replica.stdout.resume();
process.argv = [...process.argv.slice(0, 2), '--url', url, '--wasm', process.env.ASHLAR_WASM];
const { ledgers } = await import('./ledgers.mjs');
await ledgers('2vxsx-fae', 900_000_000_000_000_000n);
const status = { v: '1', gateway_port: Number(new URL(url).port), root_key: rootKey, default_effective_canister_id: 'bnz7o-iuaaa-aaaaa-qaaaa-cai' };
writeFileSync(`${asked['status-dir']}/status.tmp`, JSON.stringify(status) + '\n');
renameSync(`${asked['status-dir']}/status.tmp`, `${asked['status-dir']}/status.json`);
