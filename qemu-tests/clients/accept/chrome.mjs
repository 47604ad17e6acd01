// Debian's Chromium without a screen. It asks nobody on the Internet.
import { chromium } from 'playwright-core';

const program = '/usr/bin/chromium-headless-shell';
const args = ['--no-sandbox', '--disable-gpu', '--no-first-run', '--disable-background-networking', '--disable-component-update', '--disable-sync',
  '--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE localhost, EXCLUDE *.localhost, EXCLUDE 127.0.0.1'];
const patience = 30_000; // ms for one step on a loaded machine; alone the slowest takes 1 s

export const chrome = () => chromium.launch({ executablePath: program, headless: true, args, timeout: patience });

// page opens an address; failures are what its console and its network complained of.
export async function page(browser, address) {
  const p = await browser.newPage();
  p.setDefaultTimeout(patience);
  p.failures = [];
  p.on('pageerror', (e) => p.failures.push(String(e)));
  p.on('console', (m) => m.type() === 'error' && !/favicon/.test(m.location().url) && p.failures.push(m.text()));
  p.on('requestfailed', (r) => p.failures.push(`${r.url()}: ${r.failure()?.errorText}`));
  await p.goto(address);
  return p;
}
