# a full disk stops a node in good order, and it goes on when there is space
4 nodes, seed 13
20 calls a second
at 1s: fill the disk of 2
at 3s: free the disk of 2
run 4s, recover within 30s
