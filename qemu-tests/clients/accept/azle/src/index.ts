// A TypeScript canister: state in the heap, a map in stable memory, calls, timers.
import { call, canisterCycleBalance, canisterSelf, dataCertificate, IDL, init, msgCaller, performanceCounter, postUpgrade, Principal, query, certifiedDataSet, setTimer, setTimerInterval, StableBTreeMap, trap, update } from 'azle';

type User = { id: Principal; name: string; age: number };
const User = IDL.Record({ id: IDL.Principal, name: IDL.Text, age: IDL.Nat32 });

export default class {
    users = new StableBTreeMap<string, User>(0);
    count = 0n;
    ticks = 0;

    @init([IDL.Nat])
    init(start: bigint): void { this.count = start; }

    @postUpgrade([IDL.Nat])
    upgraded(start: bigint): void { this.count = start + 1000n; }

    @query([], IDL.Nat)
    get(): bigint { return this.count; }

    @update([], IDL.Nat)
    inc(): bigint { this.count += 1n; return this.count; }

    @update([IDL.Text, IDL.Nat32], IDL.Opt(User))
    put(name: string, age: number): [] | [User] {
        const was = this.users.get(name);
        this.users.insert(name, { id: msgCaller(), name, age });
        return was === undefined ? [] : [was];
    }

    @query([], IDL.Vec(User))
    all(): User[] { return this.users.values(); }

    @update([], IDL.Nat)
    async viaSelf(): Promise<bigint> { return await call<[], bigint>(canisterSelf(), 'inc', { returnIdlType: IDL.Nat }); }

    @update([], IDL.Vec(IDL.Nat8))
    async random(): Promise<Uint8Array> { return await call<[], Uint8Array>('aaaaa-aa', 'raw_rand', { returnIdlType: IDL.Vec(IDL.Nat8) }); }

    @update([], IDL.Text)
    async caught(): Promise<string> {
        try { await call<[], void>(canisterSelf(), 'boom', {}); return 'not rejected'; } catch (e: any) { return String(e.message ?? e); }
    }

    @update([])
    boom(): void { trap('boom in TypeScript'); }

    @update([])
    timers(): void {
        setTimerInterval(1, () => { this.ticks += 1; });
        setTimer(0, async () => { this.ticks += 100; });
    }

    @query([], IDL.Nat32)
    getTicks(): number { return this.ticks; }

    @update([IDL.Vec(IDL.Nat8)])
    certify(data: Uint8Array): void { certifiedDataSet(data); }

    @query([], IDL.Bool)
    certified(): boolean { return dataCertificate() !== undefined; }

    @query([], IDL.Nat)
    balance(): bigint { return canisterCycleBalance(); }

    @update([IDL.Nat32], IDL.Nat64)
    busy(n: number): bigint {
        let x = 0;
        for (let i = 0; i < n; i++) x = (x * 31 + i) % 1000003;
        return x < 0 ? 0n : performanceCounter(0);
    }
}
