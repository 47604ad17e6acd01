# all four members are exchanged for others: the subnet's key stays
8 nodes, seed 5
members 0 1 2 3
intervals of 12 heights
2 calls a second
at 1s: add 4 5 6 7
at 8s: remove 0 1 2 3
run 20s, recover within 90s
expect members 4 5 6 7
