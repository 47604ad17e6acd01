// The ledgers that the icp CLI talks to, at their ids of mainnet.
import { client, code } from './lib.mjs';

const canisters = [['um5iw-rqaaa-aaaaq-qaaba-cai', 'mo-CyclesLedger'], ['rkp4c-7iaaa-aaaaa-aaaca-cai', 'mo-Minter'], ['ryjl3-tyaaa-aaaaa-aaaba-cai', 'mo-IcpLedger']];

// ledgers installs them, where they are not yet, and puts cycles into an account.
export async function ledgers(owner, cycles) {
  const c = await client();
  for (const [id, name] of canisters) {
    try {
      await c.create({}, id);
    } catch (err) {
      if (/already exists/.test(err.message)) continue;
      throw err;
    }
    await c.install(c.Principal.fromText(id), code(name));
  }
  const fund = await c.deploy(code('mo-Fund'));
  await c.ic.provisional_top_up_canister({ canister_id: fund, amount: cycles });
  await c.actor(fund, ({ Func, Principal, Nat }) => ({ fund: Func([Principal, Nat], [], []) })).fund(c.Principal.fromText(owner), cycles);
}
