// Canisters as web sites: a browser, and the verifier that browsers' gateways use,
// against the gateway of ours.
//
//	node browser.mjs --url URL --wasm DIR
//
// mo/Assets.mo is the site. Chromium is Debian's, headless; it resolves
// *.localhost to this machine by itself.
import { createHash } from 'node:crypto';
import { createRequire } from 'node:module';
import { chrome, page } from './chrome.mjs';
import { check, client, code, done, equal, flags, holds, matches } from './lib.mjs';
import { verifyRequestResponsePair } from '@dfinity/response-verification';

const request = createRequire(import.meta.url)('node:http').request;
const c = await client();
const id = (await c.deploy(code('mo-Assets'))).toText();
const site = c.actor(id, ({ Func, Text, Nat16, Vec, Nat8 }) => {
  const blob = Vec(Nat8);
  return { put: Func([Text, Text, blob], [], []), fallback: Func([Text, Nat16, Text, blob], [], []), redirect: Func([Text, Text], [], []), anything: Func([Text], [], []),
    stream: Func([Text, Text, Vec(blob)], [], []), ranges: Func([Text, Text, Vec(blob)], [], []), legacy: Func([Text, blob], [], []) };
});
const bytes = (text) => new Uint8Array(Buffer.from(text));
const noise = (n) => new Uint8Array(Buffer.concat(Array.from({ length: Math.ceil(n / 32) }, (_, i) => createHash('sha256').update(`${i}`).digest())).subarray(0, n));
const sum = (b) => createHash('sha256').update(b).digest('hex');
const port = new URL(flags.url).port;
const home = `http://${id}.localhost:${port}`, raw = `http://${id}.raw.localhost:${port}`;

// get opens a URL as a program does that knows no *.localhost.
const get = (url, { method = 'GET', headers = {}, body } = {}) => new Promise((resolve, reject) => {
  const { hostname, pathname, search } = new URL(url);
  const r = request({ host: '127.0.0.1', port, method, path: pathname + search, headers: { host: `${hostname}:${port}`, ...headers } }, (resp) => {
    const parts = [];
    resp.on('data', (p) => parts.push(p));
    resp.on('error', reject);
    resp.on('end', () => resolve({ status: resp.statusCode, headers: resp.headers, list: pairs(resp.rawHeaders), body: Buffer.concat(parts) }));
  });
  r.on('error', reject);
  r.end(body);
});
const pairs = (flat) => Array.from({ length: flat.length / 2 }, (_, i) => [flat[2 * i], flat[2 * i + 1]]);

// What the site has. The picture is one red pixel of 1x1.
const png = Buffer.from('iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAIAAACQd1PeAAAADElEQVR4nGP4z8AAAAMBAQDJ/pLvAAAAAElFTkSuQmCC', 'base64');
const chunks = [0, 1, 2, 3].map((i) => noise(400_000).map((b) => b ^ i));
const large = Buffer.concat(chunks);
const index = `<!doctype html><title>loading</title><link rel="stylesheet" href="/style.css"><h1>hello</h1><img src="/red.png"><script src="/app.js"></script>`;
const script = `
const sum = async (b) => [...new Uint8Array(await crypto.subtle.digest('SHA-256', b))].map((x) => x.toString(16).padStart(2, '0')).join('');
(async () => {
  const data = await (await fetch('/data.json')).json();
  const first = await (await fetch('/count', { method: 'POST', body: 'x' })).json(), second = await (await fetch('/count', { method: 'POST' })).json();
  const streamed = await sum(await (await fetch('/streamed.bin')).arrayBuffer()), ranged = await sum(await (await fetch('/ranged.bin')).arrayBuffer());
  const worker = await navigator.serviceWorker.register('/sw.js').then((r) => new URL(r.scope).pathname, (e) => String(e));
  window.seen = { ...data, calls: [first.count, second.count, second.method], streamed, ranged, worker };
  document.title = 'ready';
})().catch((e) => { document.title = 'failed: ' + e; });`;

await check('the site is made', async () => {
  await site.put('/', 'text/html', bytes(index));
  await site.put('/style.css', 'text/css', bytes('h1 { color: rgb(1, 2, 3) }'));
  await site.put('/app.js', 'text/javascript', bytes(script));
  await site.put('/sw.js', 'text/javascript', bytes('self.addEventListener("fetch", () => {});'));
  await site.put('/red.png', 'image/png', new Uint8Array(png));
  await site.put('/data.json', 'application/json', bytes('{"answer":42}'));
  await site.put('/dir/', 'text/plain', bytes('a directory'));
  await site.put('/a file & more.txt', 'text/plain', bytes('its name is odd'));
  await site.fallback('/app/', 200, 'text/html', bytes('<title>route</title>'));
  await site.fallback('/', 404, 'text/html', bytes('<title>nothing here</title>'));
  await site.redirect('/old', '/dir/');
  await site.anything('/free');
  await site.stream('/streamed.bin', 'application/octet-stream', chunks);
  await site.ranges('/ranged.bin', 'application/octet-stream', chunks);
  await site.legacy('/v1.txt', bytes('version 1'));
});

// Ours and the verifier's verdict on the same answers.
const key = new Uint8Array(await c.agent.rootKey);
const other = c.Principal.fromText('rwlgt-iiaaa-aaaaa-aaaaa-cai');
function verdict(url, answer, { method = 'GET', headers = {} } = {}, canister = c.Principal.fromText(id), now = Date.now()) {
  const { pathname, search } = new URL(url);
  const list = answer.list.filter(([name]) => !/^(access-control-|vary$|x-ic-|date$|content-length$)/i.test(name));
  return verifyRequestResponsePair({ method, url: pathname + search, headers: Object.entries(headers), body: new Uint8Array() }, { status_code: answer.status, headers: list, body: new Uint8Array(answer.body) },
    canister.toUint8Array(), BigInt(now) * 1_000_000n, 300_000_000_000n, key, 1);
}
const range = { headers: { range: 'bytes=400000-' } };
const cases = [
  ['/', {}, true], ['/?a=b', {}, true], ['/style.css', {}, true], ['/dir/', {}, true], ['/a%20file%20&%20more.txt', {}, true], ['/app/route/x', {}, true], ['/nothing', {}, true], ['/dir', {}, true],
  ['/old', {}, true], ['/free', {}, true], ['/v1.txt', {}, true], ['/ranged.bin', range, true], ['/tampered', {}, false], ['/uncertified', {}, false], ['/ranged.bin', { method: 'HEAD', headers: range.headers }, false],
];
for (const [path, asked, good] of cases) await check(`${good ? 'shown' : 'refused'}: ${asked.method ?? ''} ${path} ${asked.headers?.range ?? ''}`, async () => {
  const said = await get(raw + path, asked), shown = await get(home + path, asked);
  let theirs = 'verified';
  try { verdict(raw + path, said, asked); } catch (err) { theirs = String(err.message ?? err); }
  holds(theirs !== 'unreachable' && (theirs === 'verified') === good, `response-verification says: ${theirs}`);
  if (good) { equal([shown.status, sum(shown.body)], [said.status, sum(said.body)].map((x, i) => (path === '/free' && i ? sum(shown.body) : x))); } else { equal(shown.status, 503); matches(shown.body.toString() + shown.headers['x-ic-error-cause'], asked.method ? /response_verification/ : /Response verification failed/); }
});
await check('the verifier refuses another canister and another time', async () => {
  const said = await get(raw + '/');
  for (const [what, f] of Object.entries({ canister: () => verdict(raw + '/', said, {}, other), old: () => verdict(raw + '/', said, {}, undefined, Date.now() + 400_000), early: () => verdict(raw + '/', said, {}, undefined, Date.now() - 400_000) })) {
    let theirs = 'verified';
    try { f(); } catch (err) { theirs = String(err.message ?? err); }
    holds(theirs !== 'verified' && theirs !== 'unreachable', `${what}: ${theirs}`);
  }
});
await check('what is passed on keeps what a second verifier needs', async () => {
  const shown = await get(home + '/style.css');
  verdict(home + '/style.css', shown);
  equal([shown.headers['content-type'], shown.headers['cache-control'], shown.headers['x-ic-canister-id']], ['text/css', 'max-age=60', id]);
});
await check('streamed and in ranges: whole, verified, of the right length', async () => {
  for (const path of ['/streamed.bin', '/ranged.bin']) {
    const r = await get(home + path);
    equal([r.status, sum(r.body), r.headers['content-length'], r.headers['content-range'] ?? ''], [200, sum(large), `${large.length}`, '']);
  }
});
await check('a range that the browser asks for', async () => {
  const r = await get(home + '/ranged.bin', range);
  equal([r.status, sum(r.body), r.headers['content-range']], [206, sum(chunks[1]), 'bytes 400000-799999/1600000']);
});
await check('a canister by ?canisterId= and what its page loads', async () => {
  const at = (path, headers) => get(`http://127.0.0.1:${port}${path}`, { headers });
  matches((await at(`/?canisterId=${id}`)).body.toString(), /hello/);
  const css = await get(`http://localhost:${port}/style.css`, { headers: { referer: `http://localhost:${port}/?canisterId=${id}` } });
  equal(css.status, 200);
  equal((await at('/style.css')).status, 400);
});
await check('pages for what goes wrong', async () => {
  const html = { accept: 'text/html' };
  const at = async (host) => { const r = await get(`http://${host}.localhost:${port}/`, { headers: html }); return [r.status, r.body.toString().match(/<title>(.*)<\/title>/)?.[1]]; };
  equal(await at('qoctq-giaaa-aaaaa-aaaea-cai'), [404, 'Canister not found']);
  equal(await at((await c.create()).toText()), [503, 'The canister is empty']);
  equal(await at((await c.deploy(code('mo-Minter'))).toText()), [503, 'This canister serves no web pages']);
  equal(await at('not-an-id'), [400, 'This is no canister id']);
  equal((await get(home + '/count', { method: 'POST', body: Buffer.alloc(4_000_000) })).status, 413);
});

const browser = await chrome();
await check('Chromium: page, style, script, picture, fetch, calls, streams, service worker', async () => {
  const p = await page(browser, home + '/');
  await p.waitForFunction(() => document.title !== 'loading');
  equal(await p.title(), 'ready');
  equal(await p.evaluate(() => window.seen), { answer: 42, calls: [1, 2, 'POST'], streamed: sum(large), ranged: sum(large), worker: '/' });
  equal(await p.evaluate(() => [getComputedStyle(document.querySelector('h1')).color, document.images[0].naturalWidth]), ['rgb(1, 2, 3)', 1]);
  equal(p.failures, []);
  await p.close();
});
await check('Chromium: routes, redirect, not found', async () => {
  const p = await page(browser, home + '/app/some/route');
  equal(await p.title(), 'route');
  equal([(await p.goto(home + '/old')).status(), p.url()], [200, home + '/dir/']);
  equal([(await p.goto(home + '/nothing')).status(), await p.title()], [404, 'nothing here']);
  await p.close();
});
await check('Chromium: what is not certified is not run, the raw address runs it', async () => {
  const p = await page(browser, home + '/uncertified');
  equal(await p.title(), 'Response verification failed');
  const link = await p.locator('a').getAttribute('href');
  equal(link, raw + '/uncertified');
  await p.goto(link);
  equal(await p.title(), 'hacked');
  await p.goto(home + '/tampered');
  matches(await p.textContent('body'), /not what the canister certified[^]*is that of another URL/);
  await p.close();
});
await check('Chromium: a page of one site reads another', async () => {
  const p = await page(browser, home + '/dir/');
  const read = await p.evaluate(async (url) => (await fetch(url, { headers: { 'content-type': 'x' } })).text(), raw + '/data.json');
  equal(read, '{"answer":42}');
  matches(await p.evaluate(async (url) => (await fetch(url)).headers.get('x-ic-canister-id'), raw + '/data.json'), /-cai$/);
  await p.close();
});
await check('Chromium: the address of the network itself', async () => {
  const p = await page(browser, `http://localhost:${port}/`);
  matches(await p.textContent('body'), /A network of the Internet Computer runs here/);
  await p.close();
});
await browser.close();
done('browser');
