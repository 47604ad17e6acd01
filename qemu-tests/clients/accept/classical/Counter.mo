// Classical persistence of 32-bit Motoko: stable variables are serialised on upgrade.
import Array "mo:base/Array";
import Timer "mo:base/Timer";
import HashMap "mo:base/HashMap";
import Text "mo:base/Text";
import Iter "mo:base/Iter";
import StableMemory "mo:base/ExperimentalStableMemory";

actor {
  stable var n = 0;
  stable var saved : [(Text, Nat)] = [];
  var lost = 0;
  let words = HashMap.fromIter<Text, Nat>(saved.vals(), 10, Text.equal, Text.hash);
  system func preupgrade() { saved := Iter.toArray(words.entries()) };
  system func postupgrade() { saved := [] };
  public func inc() : async Nat { n += 1; lost += 1; n };
  public func put(t : Text, v : Nat) : async () { words.put(t, v) };
  public query func get() : async (Nat, Nat, ?Nat) { (n, lost, words.get("a")) };
  public func stable_(v : Nat64) : async Nat64 {
    if (StableMemory.size() == 0) ignore StableMemory.grow(1);
    let was = StableMemory.loadNat64(8);
    StableMemory.storeNat64(8, v);
    was
  };
  public func garbage(rounds : Nat) : async Nat {
    var i = 0;
    var a : [Nat] = [];
    while (i < rounds) { a := Array.tabulate<Nat>(100, func j = i + j); i += 1 };
    a[0]
  };
};
