// The next version of Token: other code, one field more, the same memory.
import Map "mo:core/Map";
import List "mo:core/List";
import Principal "mo:core/Principal";

persistent actor class Token2(name : Text, _minter : Principal, supply : Nat) {
  let fee = 10;
  let balances = Map.empty<Principal, Nat>();
  let entries = List.empty<(Principal, Principal, Nat)>();
  var upgraded = true;
  public query func icrc1_name() : async Text { name # " 2" };
  public query func icrc1_total_supply() : async Nat { supply - fee * List.size(entries) };
  public query func icrc1_balance_of(a : { owner : Principal; subaccount : ?Blob }) : async Nat {
    switch (Map.get(balances, Principal.compare, a.owner)) { case (?n) n; case null 0 }
  };
  public query func isUpgraded() : async Bool { upgraded };
};
