# keys are drawn anew in each interval, and at each summary there is a package
4 nodes, seed 1
intervals of 10 heights
10 calls a second
run 5s, recover within 30s
expect package 40
