# canisters call each other and the power fails everywhere, in the middle of it
4 nodes, seed 3
canisters
intervals of 12 heights
40 calls a second
at 1s: power cut in the middle of a step of 0 1
at 1s: power cut in the middle of a save of 2 3
at 1500ms: power cut at 0 1 2 3
at 1700ms: start 0 1 2 3
at 2500ms: kill 1
at 2600ms: start 1
at 3s: power cut at 0 1 2 3
at 3200ms: start 0 1 2 3
run 4s, recover within 30s
expect package 24
