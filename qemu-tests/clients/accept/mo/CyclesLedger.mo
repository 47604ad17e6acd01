// As much of a cycles ledger as the icp CLI needs: it holds cycles for
// principals, pays them out to canisters and makes canisters.
import Cycles "mo:core/Cycles";
import Error "mo:core/Error";
import Map "mo:core/Map";
import Principal "mo:core/Principal";

persistent actor class CyclesLedger() {
  type Account = { owner : Principal; subaccount : ?Blob };
  type Settings = {
    controllers : ?[Principal]; compute_allocation : ?Nat; memory_allocation : ?Nat; freezing_threshold : ?Nat;
    reserved_cycles_limit : ?Nat; wasm_memory_limit : ?Nat; wasm_memory_threshold : ?Nat;
    environment_variables : ?[{ name : Text; value : Text }];
  };
  type Create = { from_subaccount : ?Blob; created_at_time : ?Nat64; amount : Nat; creation_args : ?{ settings : ?Settings } };
  let fee = 100_000_000;
  let balances = Map.empty<Principal, Nat>();
  var block = 0;
  transient let ic : actor {
    create_canister : { settings : ?Settings } -> async { canister_id : Principal };
    deposit_cycles : { canister_id : Principal } -> async ();
  } = actor "aaaaa-aa";

  func of(p : Principal) : Nat { switch (Map.get(balances, Principal.compare, p)) { case (?n) n; case null 0 } };
  func next() : Nat { block += 1; block };
  func take(p : Principal, n : Nat) : ?Nat {
    let have = of(p);
    if (have < n + fee) return ?have;
    Map.add(balances, Principal.compare, p, have - n - fee : Nat);
    null
  };
  func give(p : Principal, n : Nat) { Map.add(balances, Principal.compare, p, of(p) + n) };

  public query func icrc1_balance_of(a : Account) : async Nat { of(a.owner) };
  public query func icrc1_fee() : async Nat { fee };
  public query func icrc1_decimals() : async Nat8 { 12 };
  public query func icrc1_symbol() : async Text { "TCYCLES" };
  public func deposit(a : { to : Account; memo : ?Blob }) : async { balance : Nat; block_index : Nat } {
    give(a.to.owner, Cycles.accept<system>(Cycles.available()));
    { balance = of(a.to.owner); block_index = next() }
  };
  public shared ({ caller }) func icrc1_transfer(a : { to : Account; amount : Nat }) : async { #Ok : Nat; #Err : { #InsufficientFunds : { balance : Nat } } } {
    switch (take(caller, a.amount)) {
      case (?balance) #Err(#InsufficientFunds { balance });
      case null { give(a.to.owner, a.amount); #Ok(next()) }
    }
  };
  public shared ({ caller }) func withdraw(a : { amount : Nat; from_subaccount : ?Blob; to : Principal; created_at_time : ?Nat64 }) : async { #Ok : Nat; #Err : { #InsufficientFunds : { balance : Nat }; #InvalidReceiver : { receiver : Principal } } } {
    switch (take(caller, a.amount)) { case (?balance) return #Err(#InsufficientFunds { balance }); case null {} };
    try { await (with cycles = a.amount) ic.deposit_cycles({ canister_id = a.to }); #Ok(next()) } catch _ {
      give(caller, a.amount);
      #Err(#InvalidReceiver { receiver = a.to })
    }
  };
  public shared ({ caller }) func create_canister(a : Create) : async { #Ok : { block_id : Nat; canister_id : Principal }; #Err : { #InsufficientFunds : { balance : Nat }; #FailedToCreate : { error : Text; refund_block : ?Nat; fee_block : ?Nat } } } {
    switch (take(caller, a.amount)) { case (?balance) return #Err(#InsufficientFunds { balance }); case null {} };
    let wanted : ?Settings = switch (a.creation_args) { case (?c) c.settings; case null null };
    let base : Settings = switch wanted { case (?s) s; case null ({ controllers = null; compute_allocation = null; memory_allocation = null; freezing_threshold = null; reserved_cycles_limit = null; wasm_memory_limit = null; wasm_memory_threshold = null; environment_variables = null }) };
    let controllers = switch (base.controllers) { case (?c) c; case null [caller] };
    try {
      let made = await (with cycles = a.amount) ic.create_canister({ settings = ?{ base with controllers = ?controllers } });
      #Ok({ block_id = next(); canister_id = made.canister_id })
    } catch e {
      give(caller, a.amount);
      #Err(#FailedToCreate { error = Error.message(e); refund_block = null; fee_block = null })
    }
  };
};
