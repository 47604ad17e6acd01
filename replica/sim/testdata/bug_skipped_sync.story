# a disk that lies is found out by a power cut
4 nodes, seed 1
bug: disks say that they synced, and did not
20 calls a second
at 1s: power cut at 0 1 2 3
at 2s: start 0 1 2 3
run 3s, recover within 30s
expect violation: 
