# a network of one node is the same code: it deals its keys to itself
1 nodes, seed 1
intervals of 10 heights
10 calls a second
at height 12: power cut at 0
at 3s: start 0
run 6s, recover within 30s
expect package 30
