# forty nodes, of which two are new and one leaves
40 nodes, seed 11
members 0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23 24 25 26 27 28 29 30 31 32 33 34 35 36 37
intervals of 12 heights
messages take 5ms to 20ms
1 calls a second
at 100ms: add 38 39
at 200ms: remove 7
run 14s, recover within 60s
expect members 0 1 2 3 4 5 6 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23 24 25 26 27 28 29 30 31 32 33 34 35 36 37 38 39
expect node 7 stopped: no member of subnet
