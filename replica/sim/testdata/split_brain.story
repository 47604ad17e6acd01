# neither half of a subnet that is split goes on alone
4 nodes, seed 2
at 1s: cut 0 1 from 2 3
run 2s, recover within 20s
expect stuck
