# the power fails everywhere at once, twice
4 nodes, seed 11
20 calls a second
at 1s: power cut at 0 1 2 3
at 1500ms: start 0 1 2 3
at 2s: power cut at 0 1 2 3
at 3s: start 0 1 2 3
run 4s, recover within 30s
