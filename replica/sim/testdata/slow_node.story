# a node a thousand times slower than the others does not hold them up
4 nodes, seed 14
20 calls a second
at 500ms: slow 1 1000 times
at 4s: slow 1 1 times
run 5s, recover within 30s
expect height 25
