# calls that take many rounds go on over an upgrade, over packages, and where the power fails
4 nodes, seed 5
canisters
intervals of 12 heights
4 calls a second
at height 14: send a call that takes 60 rounds
at height 15: kill 3
at height 16: upgrade to 2
at height 17: send a call that takes 100 rounds
at height 30: send a call that takes 90 rounds
when 0 1 2 have package 36: power cut in the middle of a step of 2
at 5s: start 2
when 0 1 2 have package 48: power cut at 0 1
at 8s: start 0 1 2 3
run 9s, recover within 60s
expect version 2
expect package 72
