// Compiles a Motoko file with the npm compiler: node compile.mjs counter.mo counter.wasm
//
// The compiler's output is always wasm64 with a 64-bit table: what every
// Motoko canister of today looks like.
import { createRequire } from 'node:module';
import { readFileSync, writeFileSync } from 'node:fs';

const require = createRequire(import.meta.url);
const mo = require('motoko').default ?? require('motoko');
const [source, target] = process.argv.slice(2);
if (!target) {
  console.error('usage: node compile.mjs SOURCE.mo TARGET.wasm');
  process.exit(2);
}

mo.loadPackage(require('motoko/packages/latest/core.json'));
mo.write('Main.mo', readFileSync(source, 'utf8'));
const { wasm } = mo.wasm('Main.mo', 'ic');
writeFileSync(target, wasm);
