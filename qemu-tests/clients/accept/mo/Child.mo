// What Suite makes: an actor class whose state survives an upgrade by its parent.
import Cycles "mo:core/Cycles";
import Runtime "mo:core/Runtime";

persistent actor class Child(start : Nat) {
  var value = start;
  public func add(n : Nat) : async Nat { value += n; value };
  public query func get() : async Nat { value };
  public func keep() : async Nat { Cycles.accept<system>(Cycles.available() / 2) };
  public func boom() : async () { Runtime.trap("boom in the child") };
  public func slow() : async Nat { // some rounds, so that a short deadline passes
    var i = 0;
    while (i < 40) { await async {}; i += 1 };
    i
  };
};
