// A bad neighbour: it loops, calls itself, floods its log and grows.
import Debug "mo:core/Debug";
import Prim "mo:prim";
import Timer "mo:core/Timer";
import Principal "mo:core/Principal";

persistent actor class Busy() = this {
  var on = false;
  var n = 0;
  var hoard : [[var Nat32]] = [];
  func me() : actor { spin : (Nat) -> async () } { actor (Principal.toText(Principal.fromActor(this))) };
  public func spin(times : Nat) : async () { var i = 0; while (i < times) i += 1; n += 1 };
  public func start() : async () { on := true };
  public func stop() : async () { on := false };
  system func heartbeat() : async () {
    if (not on) return;
    Debug.print("a line that is of no use to anyone, over and over again");
    if (hoard.size() < 100) hoard := Prim.Array_tabulate<[var Nat32]>(hoard.size() + 1, func i = if (i < hoard.size()) hoard[i] else Prim.Array_init<Nat32>(250_000, 1));
    var i = 0;
    while (i < 20) { ignore me().spin(2_000_000); i += 1 };
    var j = 0;
    while (j < 30_000_000) j += 1
  };
  public query func done() : async Nat { n };
};
