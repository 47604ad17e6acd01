# a message is lost between canisters that had their turn in one round, and the audit of that height finds it
1 nodes, seed 7
canisters
40 calls a second
run 4s, recover within 30s
bug: a message of a canister to one that had its turn in the same round is lost
expect violation: cycles in all
