# a node that hears and is not heard
4 nodes, seed 4
at 1s: silence 2 to 0 1 3
at 4s: heal
run 5s, recover within 30s
expect height 20
