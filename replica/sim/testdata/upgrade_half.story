# two of four change the version, and the others lose the certificate of that height in a power cut: the package vouches for their state
4 nodes, seed 1
intervals of 12 heights
messages take 1ms to 3ms
10 calls a second
at 500ms: upgrade to 2
at height 11: slow 2 3 60 times
when 0 1 have version 2: power cut at 2 3
at 20s: slow 2 3 1 times
at 21s: start 2 3
run 22s, recover within 60s
expect version 2
expect height 14
