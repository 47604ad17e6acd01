// One method for each thing that a Motoko program asks of the system.
import Blob "mo:core/Blob";
import CertifiedData "mo:core/CertifiedData";
import Cycles "mo:core/Cycles";
import Debug "mo:core/Debug";
import Error "mo:core/Error";
import IC "mo:core/InternetComputer";
import List "mo:core/List";
import Principal "mo:core/Principal";
import Prim "mo:prim";
import Random "mo:core/Random";
import Region "mo:core/Region";
import Runtime "mo:core/Runtime";
import Text "mo:core/Text";
import Time "mo:core/Time";
import Timer "mo:core/Timer";
import Child "Child";

persistent actor class Suite() = this {
  var child : ?Child.Child = null;
  var ticks = 0;
  var beats = 0;
  var beating = false;
  var timer = 0;
  var cleaned = 0;
  let region = Region.new();

  system func heartbeat() : async () { if (beating) beats += 1 };

  func it() : Child.Child { switch child { case (?c) c; case null Runtime.trap("no child") } };
  func self() : actor { inc : () -> async Nat; fail : () -> async (); nothing : () -> async () } {
    actor (Principal.toText(Principal.fromActor(this)))
  };

  // Inter-canister calls, self calls, errors.
  var n = 0;
  public func inc() : async Nat { n += 1; n };
  public func fail() : async () { throw Error.reject("no") };
  public func selfCalls(times : Nat) : async Nat {
    var last = 0;
    var i = 0;
    while (i < times) { last := await self().inc(); i += 1 };
    last
  };
  public func parallel(times : Nat) : async Nat {
    let calls = List.empty<async Nat>();
    var i = 0;
    while (i < times) { List.add(calls, self().inc()); i += 1 };
    var sum = 0;
    for (c in List.values(calls)) sum += await c;
    sum
  };
  public func optimistic() : async Nat { // await? goes on at once when the answer is there
    let a = async { 20 };
    let b = async { 22 };
    (await? a) + (await b)
  };
  func describe(e : Error.Error) : Text = debug_show (Error.code(e)) # " " # Error.message(e);
  public func rejected() : async Text { try { await self().fail(); "not rejected" } catch e describe(e) };
  public func trapped() : async Text { try { await it().boom(); "not trapped" } catch e describe(e) };
  public func noMethod() : async Text { try { await self().nothing(); "found" } catch e describe(e) };
  public func noCanister() : async Text {
    let nobody : actor { hello : () -> async () } = actor "2vxsx-fae";
    try { await nobody.hello(); "found" } catch e describe(e)
  };
  public func timeout() : async Text { // best effort: the answer comes too late
    try { debug_show (await (with timeout = 1) it().slow()) } catch e describe(e)
  };
  public func cleanup() : async () { // finally runs although the callback traps
    try { ignore await self().inc(); Runtime.trap("after await") } finally { cleaned += 1 }
  };
  public query func cleanups() : async Nat { cleaned };
  public func raw() : async Nat {
    let reply = await IC.call(Principal.fromActor(this), "inc", to_candid ());
    switch (from_candid reply : ?Nat) { case (?v) v; case null 0 }
  };

  // Class factories.
  public func spawn(start : Nat) : async Principal {
    let c = await (with cycles = 2_000_000_000_000) Child.Child(start);
    child := ?c;
    Principal.fromActor(c)
  };
  public func addChild(k : Nat) : async Nat { await it().add(k) };
  public func upgradeChild() : async Nat { let c = await (system Child.Child)(#upgrade(it()))(0); await c.get() };
  public func reinstallChild(start : Nat) : async Nat { let c = await (system Child.Child)(#reinstall(it()))(start); await c.get() };
  public func give(amount : Nat) : async (Nat, Nat) { // half is kept, half comes back
    let kept = await (with cycles = amount) it().keep();
    (kept, Cycles.refunded())
  };
  public composite query func childValue() : async Nat { await it().get() };

  // Timers and heartbeats.
  public func startTimer() : async () { timer := Timer.recurringTimer<system>(#milliseconds 100, func() : async () { ticks += 1 }) };
  public func once() : async () { ignore Timer.setTimer<system>(#seconds 0, func() : async () { ticks += 1000 }) };
  public func stopTimer() : async () { Timer.cancelTimer(timer) };
  public query func getTicks() : async Nat { ticks };
  public func beat(on : Bool) : async () { beating := on };
  public query func getBeats() : async Nat { beats };

  // Memory.
  public func grow(pages : Nat64) : async Nat64 {
    let at = Region.grow(region, pages);
    if (at != 0xffff_ffff_ffff_ffff) Region.storeNat64(region, at * 65536, 0xDEADBEEF + at);
    at
  };
  public query func peek(page : Nat64) : async (Nat64, Nat64) { (Region.size(region), Region.loadNat64(region, page * 65536)) };
  var held : [var Nat32] = [var];
  public func hold(words : Nat) : async Nat { held := Prim.Array_init<Nat32>(words, 7); Prim.rts_memory_size() };
  public query func sum(from : Nat, to : Nat) : async Nat32 {
    var s : Nat32 = 0;
    var i = from;
    while (i < to) { s +%= held[i]; i += 1 };
    s
  };
  public func garbage(rounds : Nat) : async Nat { // the collector has work
    var keep : [var ?[Nat]] = Prim.Array_init<?[Nat]>(1000, null);
    var i = 0;
    while (i < rounds) { keep[i % 1000] := ?Prim.Array_tabulate<Nat>(100, func j = i + j); i += 1 };
    switch (keep[(rounds - 1) % 1000]) { case (?a) a[0]; case null 0 }
  };
  public func count(times : Nat) : async Nat64 {
    IC.countInstructions(func() { var i = 0; while (i < times) i += 1 })
  };
  public func forever() : async () { while true { n += 1 } };

  // The system.
  public func setCert(t : Text) : async () { CertifiedData.set(Text.encodeUtf8(t)) };
  public func certify(b : Blob) : async () { CertifiedData.set(b) };
  public query func getCert() : async ?Blob { CertifiedData.getCertificate() };
  public func random() : async Blob { await Random.blob() };
  public func now() : async Int { Time.now() };
  public func balance() : async Nat { Cycles.balance() };
  public func burn(amount : Nat) : async Nat { Cycles.burn<system>(amount) };
  public query func replicated() : async Bool { IC.isReplicated() };
  public func replicatedUpdate() : async Bool { IC.isReplicated() };
  public func version() : async Nat64 { Prim.canisterVersion() };
  public func subnet() : async Principal { Prim.canisterSubnet() };
  public func variable(name : Text) : async ?Text { Runtime.envVar<system>(name) };
  public shared ({ caller }) func whoami() : async (Principal, Bool) { (caller, Principal.isController(caller)) };
  public func log(t : Text) : async () { Debug.print(t) };
  public func echo(b : Blob) : async Blob { b };
  public query func echoQuery(b : Blob) : async Blob { b };
};
