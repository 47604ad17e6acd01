# three nodes join four: they begin from a package, and take part two summaries later
7 nodes, seed 3
members 0 1 2 3
intervals of 12 heights
10 calls a second
at 3s: add 4
at 3100ms: add 5 6
run 12s, recover within 60s
expect members 0 1 2 3 4 5 6
