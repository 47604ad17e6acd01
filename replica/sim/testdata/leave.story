# two of seven leave: they serve until their last interval has ended, and say so
7 nodes, seed 4
intervals of 12 heights
10 calls a second
at 1s: remove 2 5
run 10s, recover within 60s
expect members 0 1 3 4 6
expect node 2 stopped: no member of subnet
expect node 5 stopped: its last interval has ended
