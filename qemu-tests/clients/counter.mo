// The demo's canister: it counts, and must still know the count after an upgrade of the node.
persistent actor Counter {
  var count : Nat = 0;

  public func inc() : async Nat {
    count += 1;
    count
  };

  public query func get() : async Nat { count };
};
