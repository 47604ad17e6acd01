// agent-js against a subnet whose nodes are killed, cut off and frozen meanwhile:
// every call is answered with a certificate, and was executed once.
//
//	node subnet.mjs --urls URL,URL,... --wasm DIR    (until its input ends)
import { check, client, code, done, equal, flags, holds } from './lib.mjs';

const urls = flags.urls.split(',');
const patience = 4_000; // ms; a frozen node says nothing

// failover sends a request, the same bytes, to one node after the other.
function failover(first) {
  let at = first;
  return async (url, init) => {
    const path = new URL(url).pathname;
    for (let tries = 0; ; tries++) {
      const host = urls[at % urls.length];
      try {
        const answer = await fetch(host + path, { ...init, signal: AbortSignal.timeout(patience) });
        const body = await answer.arrayBuffer();
        if (answer.status < 500) return new Response(answer.status === 204 ? null : body, { status: answer.status, headers: answer.headers });
      } catch {
        // the next one
      }
      at++;
      if (tries > 60) throw new Error(`no node answers ${path}`);
      if (tries % urls.length === urls.length - 1) await new Promise((next) => setTimeout(next, 100));
    }
  };
}

let over = false;
process.stdin.on('end', () => { over = true; }).resume();

const methods = (IDL) => ({ inc: IDL.Func([], [IDL.Nat], []), getTicks: IDL.Func([], [IDL.Nat], ['query']) });
const users = await Promise.all([0, 1, 2, 3].map((i) => client({ url: urls[i % urls.length], fetch: failover(i) })));
const id = await users[0].create();
const answers = [];

await check('install', () => users[0].install(id, code('mo-Suite')));
await check('calls and queries while nodes fail', async () => {
  await Promise.all(users.map(async (c) => {
    const canister = c.actor(id, methods);
    while (!over) {
      answers.push(await canister.inc());
      await canister.getTicks(); // its node's signature is verified
    }
  }));
  holds(answers.length >= 10, `only ${answers.length} calls were answered`);
});
await check('each call was executed once', async () => {
  const last = await users[0].actor(id, methods).inc();
  equal([...answers, last].sort((a, b) => Number(a - b)), Array.from({ length: answers.length + 1 }, (_, i) => BigInt(i + 1)));
});
for (const url of urls) {
  await check(`a signed answer of ${url}`, async () => {
    const c = await client({ url });
    await c.agent.fetchSubnetKeys?.(id);
    equal(typeof await c.actor(id, methods).getTicks(), 'bigint');
  });
}
done(`subnet, ${answers.length} calls`);
