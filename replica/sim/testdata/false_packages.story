# a node that was away asks for a package, and two of those it asks lie
7 nodes, seed 10
intervals of 12 heights
10 calls a second
node 0 is Byzantine: signs false packages
node 5 is Byzantine: signs false packages, sends garbage
at 1s: power cut at 3
at 12s: start 3
run 15s, recover within 60s
expect package 60
