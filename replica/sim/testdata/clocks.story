# clocks that are wrong, and are set
4 nodes, seed 15
the clock of node 0 is 4s ahead
the clock of node 1 is 3s behind
at 1s: move the clock of 2 by 5s
at 2s: move the clock of 3 by -500ms
run 4s, recover within 30s
