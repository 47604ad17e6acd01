# one of three has the package of a new version, goes on with it, and takes its share along: the others ask for it
5 nodes, seed 1011764
intervals of 18 heights
members 0 1 2 3
messages take 18.4ms to 78.1ms
5 calls a second
the clock of node 0 is 1.4278s behind
node 1 is 8 times slower
at 3.813s: remove 3
at 6.229s: add 4
at 7.871s: upgrade to 2
at 8.188s: add 3
at 12.274s: upgrade to 3
run 30s, recover within 1m10s
expect version 3
