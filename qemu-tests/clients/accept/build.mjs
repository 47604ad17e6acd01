// Compiles the programs of this folder, those whose text has changed.
//
//	node build.mjs DIR [FOLDER]
//
// mo/ goes through the Motoko compiler of today (wasm64, orthogonal
// persistence), classical/ through an older one (wasm32, stable variables),
// azle/ through Azle.
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { createRequire } from 'node:module';
import { copyFileSync, existsSync, mkdirSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';

const require = createRequire(import.meta.url);
const target = process.argv[2];
const libraries = ['Child.mo', 'Sha256.mo', 'HashTree.mo', 'Certified.mo']; // compiled as part of what imports them
const metadata = ['candid:service']; // that anybody may read, as the Candid UI does
const here = new URL('.', import.meta.url);
const lock = readFileSync(new URL('package-lock.json', here));
mkdirSync(target, { recursive: true });

const current = (out, stamp) => existsSync(out) && existsSync(out + '.stamp') && readFileSync(out + '.stamp', 'utf8') === stamp;

function build(folder, compiler, library) {
  const dir = new URL(folder + '/', here);
  const files = readdirSync(dir).filter((f) => f.endsWith('.mo')).sort();
  const texts = Object.fromEntries(files.map((f) => [f, readFileSync(new URL(f, dir), 'utf8')]));
  let mo;
  for (const f of files.filter((f) => !libraries.includes(f))) {
    const out = `${target}/${folder}-${f.replace('.mo', '.wasm')}`;
    const stamp = createHash('sha256').update(lock).update(metadata.join()).update(withImports(f, texts)).digest('hex');
    if (current(out, stamp)) continue;
    if (!mo) {
      const m = require(compiler);
      mo = m.default ?? m;
      mo.loadPackage(require(`${compiler}/packages/latest/${library}.json`));
      mo.setPublicMetadata?.(metadata);
      for (const [name, text] of Object.entries(texts)) mo.write(name, text);
    }
    const began = Date.now();
    let made;
    try {
      made = mo.wasm(f, 'ic');
    } catch (err) {
      const where = err.loc?.start ?? err.range?.start ?? err.diagnostics?.[0]?.range?.start;
      console.error(`${folder}/${f}${where ? `:${where.line + 1}` : ''}: ${err.message}`);
      process.exit(1);
    }
    writeFileSync(out, made.wasm);
    writeFileSync(out.replace('.wasm', '.did'), mo.candid(f));
    writeFileSync(out + '.stamp', stamp);
    report(`${folder}/${f}`, made.wasm.length, began);
  }
}

// withImports is a program's text and that of the files here that it imports.
function withImports(f, texts, seen = []) {
  if (!texts[f] || seen.includes(f)) return '';
  seen.push(f);
  return texts[f] + [...texts[f].matchAll(/^import \w+ "(\w+)";/gm)].map((m) => withImports(m[1] + '.mo', texts, seen)).join('');
}

// azle wants a folder like that of its users: it writes into it.
function azle() {
  const dir = new URL('azle/', here), out = `${target}/azle.wasm`, work = `${target}/azle`;
  const source = readFileSync(new URL('src/index.ts', dir));
  const stamp = createHash('sha256').update(lock).update(source).digest('hex');
  if (current(out, stamp)) return;
  const began = Date.now();
  rmSync(work, { recursive: true, force: true });
  mkdirSync(`${work}/src`, { recursive: true });
  writeFileSync(`${work}/src/index.ts`, source);
  writeFileSync(`${work}/package.json`, '{"type":"module"}');
  writeFileSync(`${work}/dfx.json`, '{"canisters":{"thing":{"type":"azle","main":"src/index.ts","custom":{"candid_gen":"automatic"}}}}');
  symlinkSync(new URL('node_modules', here).pathname, `${work}/node_modules`);
  execFileSync(`${work}/node_modules/.bin/azle`, ['build', 'thing'], { cwd: work, stdio: ['ignore', 'ignore', 'pipe'],
    env: { ...process.env, CANISTER_CANDID_PATH: `${work}/.azle/thing/thing.did`, npm_config_offline: 'true', npm_config_update_notifier: 'false' } });
  copyFileSync(`${work}/.azle/thing/thing.wasm`, out);
  writeFileSync(out + '.stamp', stamp);
  report('azle', readFileSync(out).length, began);
}

const report = (what, bytes, began) => console.log(`compiled ${what}: ${bytes} bytes (${((Date.now() - began) / 1000).toFixed(1)} s)`);

const only = process.argv[3];
for (const [folder, make] of [['mo', () => build('mo', 'motoko', 'core')], ['classical', () => build('classical', 'motoko-classical', 'base')], ['azle', azle]]) {
  if (!only || only === folder) make();
}
