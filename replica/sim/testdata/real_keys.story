# key generation and resharing with real keys, through a power cut of all nodes
4 nodes, seed 2
signatures are real
intervals of 10 heights
5 calls a second
at height 14: power cut at 0 1 2 3
at 2500ms: start 0 1 2 3
run 3s, recover within 60s
expect package 10
