// The icp CLI, as its users type it, against a network of ours.
//
//	node icp.mjs --url URL --wasm DIR --work DIR
//
// First on a network that it connects to, then on one that it starts itself. It
// makes canisters, tops them up and takes cycles back through a cycles ledger at
// its id of mainnet, and asks a minting canister for the subnet: small ones of
// ours stand there (ledgers.mjs).
import { execFile } from 'node:child_process';
import { copyFileSync, existsSync, mkdirSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { chrome, page } from './chrome.mjs';
import { ledgers } from './ledgers.mjs';
import { check, done, equal, flags, holds, matches, rejects } from './lib.mjs';

const bin = new URL('node_modules/@icp-sdk/icp-cli-linux-x64/bin/icp', import.meta.url).pathname;
const launcher = new URL('launcher.mjs', import.meta.url).pathname;
const home = `${flags.work}/home`, project = `${flags.work}/project`, saved = `${flags.work}/snapshot`;
for (const dir of [home, project, saved]) rmSync(dir, { recursive: true, force: true });
for (const dir of [home, project]) mkdirSync(dir, { recursive: true });

// icp runs one command and gives what it said; a failure is an error with that.
const icp = (...args) => new Promise((resolve, reject) => {
  const child = execFile(bin, args, { cwd: project, timeout: 60_000, env: { PATH: process.env.PATH, HOME: home, ICP_CLI_NETWORK_LAUNCHER_PATH: launcher, ASHLAR_REPLICA: flags.replica, ASHLAR_WASM: flags.wasm, ICP_TELEMETRY_DISABLED: '1', RUST_BACKTRACE: '0', NO_COLOR: '1' } }, (err, out, said) => {
    const lines = said.split('\n').filter((l) => !l.includes('provenance is not verified')).join('\n');
    if (err) reject(new Error(`icp ${args.join(' ')}: ${out}${lines}`));
    else resolve(out + lines);
  });
  child.stdin.end();
});
const here = ['-e', 'dut'];
const on = (...args) => icp('canister', ...args, ...here);
const call = (name, method, args = '()', ...more) => on('call', name, method, args, ...more);

copyFileSync(`${flags.wasm}/mo-Suite.wasm`, `${project}/suite.wasm`);
copyFileSync(`${flags.wasm}/mo-Token.wasm`, `${project}/token.wasm`);
writeFileSync(`${project}/icp.yaml`, `
canisters:
  - { name: suite, build: { steps: [{ type: pre-built, path: suite.wasm }] }, settings: { log_visibility: public, environment_variables: { GREETING: hello } } }
  - { name: token, build: { steps: [{ type: pre-built, path: token.wasm }] }, init_args: '("Test", principal "aaaaa-aa", 1000 : nat)' }
networks:
  - { name: local, mode: managed, gateway: { port: 0 } }
  - { name: dut, mode: connected, url: "${flags.url}", root-key: fetch }
environments: [{ name: dut, network: dut, canisters: [suite, token] }]
`);

let me;
await check('identity: new, default, principal, list, account-id', async () => {
  await icp('identity', 'new', 'dev', '--storage', 'plaintext');
  await icp('identity', 'default', 'dev');
  me = (await icp('identity', 'principal')).trim();
  matches(me, /^[a-z0-9-]{63}$/);
  matches(await icp('identity', 'list'), /dev/);
  matches(await icp('identity', 'account-id'), /^[0-9a-f]{64}/);
});
await check('network: ping, list, status', async () => {
  matches(await icp('network', 'ping', 'dut'), /"replica_health_status": "healthy"/);
  matches(await icp('network', 'list'), /dut/);
  matches(await icp('network', 'status', 'dut'), /308182301d060d2b/);
});
await check('ledgers at their ids', () => ledgers(me, 50_000_000_000_000n));
await check('cycles balance', async () => matches(await icp('cycles', 'balance', ...here), /50(\.\d+)? ?T|50_?000|50\.0/));
await check('build, project show, environment list', async () => {
  matches(await icp('build', ...here), /built successfully/);
  matches(await icp('project', 'show'), /suite/);
  matches(await icp('environment', 'list'), /dut/);
});
await check('deploy: makes, sets, installs two canisters', async () => matches(await icp('deploy', ...here, '-y', '--cycles', '10t'), /Deployed canisters[^]*suite[^]*token/));
await check('call and query', async () => {
  matches(await call('suite', 'inc'), /\(1 : nat\)/);
  matches(await call('suite', 'getTicks', '()', '--query'), /\(0 : nat\)/);
  matches(await call('token', 'icrc1_balance_of', '(record { owner = principal "aaaaa-aa" })', '--query'), /1_000 : nat/);
  matches(await call('suite', 'variable', '("GREETING")'), /opt "hello"/);
});
await check('deploy again: an upgrade with kept memory', async () => {
  await icp('deploy', 'suite', ...here, '-y');
  matches(await call('suite', 'inc'), /\(2 : nat\)/);
});
await check('install by mode: reinstall, upgrade', async () => {
  await on('install', 'suite', '--mode', 'reinstall', '-y');
  matches(await call('suite', 'inc'), /\(1 : nat\)/);
  await on('install', 'suite', '--mode', 'upgrade', '-y');
  matches(await call('suite', 'inc'), /\(2 : nat\)/);
});
await check('list, status, public status, metadata', async () => {
  matches(await on('list'), /suite\n.*token/s);
  matches(await on('status', 'suite'), /Status: Running[^]*Module hash: 0x[0-9a-f]{64}[^]*Query stats/);
  matches(await on('status', 'suite', '--public'), /Module hash/);
  matches(await on('metadata', 'suite', 'candid:service'), /service/);
});
await check('settings: update, show, sync', async () => {
  await on('settings', 'update', 'suite', '-f', '--freezing-threshold', '40d', '--memory-allocation', '1gib', '--compute-allocation', '1', '--wasm-memory-limit', '2gib',
    '--wasm-memory-threshold', '100mib', '--log-memory-limit', '64kib', '--snapshot-visibility', 'public', '--status-visibility', 'public', '--reserved-cycles-limit', '6t',
    '--add-controller', 'aaaaa-aa', '--add-environment-variable', 'A=b', '--set-log-viewer', '2vxsx-fae');
  matches(await on('settings', 'show', 'suite'), /aaaaa-aa[^]*Compute allocation: 1\n[^]*1_073_741_824[^]*3_456_000[^]*6_000_000_000_000[^]*2_147_483_648[^]*104_857_600[^]*65_536[^]*2vxsx-fae[^]*Public[^]*A: b/);
  await on('settings', 'update', 'suite', '-f', '--remove-controller', 'aaaaa-aa', '--compute-allocation', '0', '--memory-allocation', '0');
  await on('settings', 'sync', 'suite');
  matches(await on('settings', 'show', 'suite'), /Log visibility: Public/);
});
await check('logs: with trap, by index, as JSON', async () => {
  await call('suite', 'log', '("a line")');
  await rejects(call('suite', 'spawnNone'), /method/);
  await rejects(call('suite', 'addChild', '(1)'), /no child/);
  matches(await on('logs', 'suite'), /\[0\..*a line[^]*\[1\..*no child/);
  matches(await on('logs', 'suite', '--since-index', '1'), /^\[1\./m);
  matches(await on('logs', 'suite', '--json'), /"content"/);
});
await check('stop, refuse, start', async () => {
  await on('stop', 'suite');
  await rejects(call('suite', 'inc'), /IC0508|stopped/);
  await on('start', 'suite');
  matches(await call('suite', 'inc'), /\(3 : nat\)/);
});
await check('snapshots: create, list, download, restore, upload, delete', async () => {
  const ids = async () => (await on('snapshot', 'list', 'suite', '--json')).match(/[0-9a-f]{36}/g) ?? [];
  const restore = async (id) => { await on('stop', 'suite'); await on('snapshot', 'restore', 'suite', id); await on('start', 'suite'); };
  await on('stop', 'suite');
  await on('snapshot', 'create', 'suite');
  await on('start', 'suite');
  const [first] = await ids();
  await on('snapshot', 'download', 'suite', first, '-o', saved);
  holds(existsSync(`${saved}/metadata.json`) && existsSync(`${saved}/wasm_module.bin`), readdirSync(saved));
  matches(await call('suite', 'inc'), /\(4 : nat\)/);
  await restore(first);
  matches(await call('suite', 'inc'), /\(4 : nat\)/);
  await on('snapshot', 'upload', 'suite', '-i', saved);
  await on('snapshot', 'delete', 'suite', first);
  const [second] = await ids();
  holds(second && second !== first, 'the uploaded snapshot is not listed');
  await restore(second);
  matches(await call('suite', 'inc'), /\(4 : nat\)/);
});
await check('a signed message, sent later', async () => {
  const key = (await icp('network', 'status', 'dut')).match(/308182301d[0-9a-f]{256}/)[0];
  const id = (await on('status', 'suite', '-i')).trim().split('\n').at(-1).match(/[a-z0-9-]{27}/)[0];
  await icp('canister', 'call', id, 'inc', '()', '-n', flags.url, '-k', key, '--sign-only', `${flags.work}/signed.json`);
  matches(await icp('message', 'send', `${flags.work}/signed.json`), /5 : nat|4449444c00017d05/);
});
await check('top-up', async () => {
  const cycles = async () => BigInt((await on('status', 'token')).match(/Cycles: ([\d_]+)/)[1].replaceAll('_', ''));
  const before = await cycles();
  await on('top-up', 'token', '--amount', '3t');
  holds(await cycles() > before + 2_900_000_000_000n, 'the cycles did not arrive');
});
await check('cycles transfer', () => icp('cycles', 'transfer', '1t', '2vxsx-fae', ...here));
await check('create with cycles and settings, detached; link; delete', async () => {
  const made = (await icp('canister', 'create', '--detached', '--quiet', '--cycles', '3t', '--freezing-threshold', '1d', '-n', flags.url, '-k', 'fetch')).trim();
  matches(made, /^[a-z0-9-]{27}$/);
  matches(await icp('canister', 'status', made, '-n', flags.url, '-k', 'fetch'), /Freezing threshold: 86_400/);
  await icp('canister', 'stop', made, '-n', flags.url, '-k', 'fetch');
  await icp('canister', 'delete', made, '--no-recover-cycles', '-n', flags.url, '-k', 'fetch');
});
await check('delete gives the cycles back', async () => {
  await on('stop', 'token');
  matches(await on('delete', 'token'), /Recovered \d+ cycles|[Dd]eleted/);
  await rejects(on('status', 'token'), /./);
});

// A network that the CLI starts: it seeds accounts and installs its own Candid UI
// and proxy, which are Rust.
const local = (...args) => icp(...args, '-e', 'local');
await check('network start', async () => {
  matches(await icp('network', 'start', '-d'), /Network started on port/);
  matches(await icp('network', 'status'), /Candid UI Principal: [a-z0-9-]{27}\n[^]*Proxy Canister Principal: [a-z0-9-]{27}/);
});
await check('seeded: ICP and cycles', async () => {
  matches(await local('token', 'balance'), /1_?000_?000/);
  matches(await local('cycles', 'balance'), /1_?000/);
  await local('token', 'transfer', '5', '2vxsx-fae');
  matches(await local('token', 'balance'), /999_?994\.9999/);
});
await check('deploy', async () => {
  matches(await local('deploy', '-y'), /Deployed canisters/);
  matches(await local('canister', 'call', 'suite', 'inc', '()'), /\(1 : nat\)/);
});
// The Candid UI is the CLI's own canister, in Rust: its page comes through the
// gateway, and asks the network at the address that the page has.
await check('gateway: the address that deploy prints, in Chromium, calls the canister', async () => {
  const address = (await local('deploy', 'suite', '-y')).match(/http:\/\/\S+/)[0];
  const browser = await chrome();
  try {
    const p = await page(browser, address);
    await p.locator('#inc button').first().click();
    await p.waitForFunction(() => /\(\d+\)/.test(document.querySelector('#inc .result').innerText));
    matches(await p.locator('#inc .result').innerText(), /\(2\)/);
    await p.goto(new URL(address).origin.replace(/[a-z0-9-]{27}/, 'qoctq-giaaa-aaaaa-aaaea-cai'));
    equal(await p.title(), 'Canister not found');
  } finally {
    await browser.close();
  }
});
await check('through the proxy: call with cycles, create, status, delete', async () => {
  const proxy = (await icp('network', 'status')).match(/Proxy Canister Principal: (\S+)/)[1];
  const through = (...args) => local('canister', ...args, '--proxy', proxy);
  matches(await through('call', 'suite', 'whoami', '()', '--cycles', '1m'), new RegExp(proxy));
  const made = (await local('canister', 'create', '--detached', '--quiet', '--proxy', proxy)).trim();
  matches(await through('status', made), /Running/);
  await through('stop', made);
  await through('delete', made, '--no-recover-cycles');
});
await check('network stop', async () => {
  await icp('network', 'stop');
  await rejects(local('canister', 'call', 'suite', 'inc', '()'), /./);
});
done('icp CLI');
