# two of four decide nothing
4 nodes, seed 8
at 1s: power cut at 0 1
run 2s, recover within 30s
expect stuck
