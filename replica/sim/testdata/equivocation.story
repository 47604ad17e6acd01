# a maker gives two blocks to two halves of the subnet, and one of them becomes final
4 nodes, seed 2
messages take 15ms to 43ms
9 calls a second
node 3 is Byzantine: equivocates
run 4s, recover within 30s
