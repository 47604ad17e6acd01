# a damaged database is reported, and set aside: the state comes from the others
4 nodes, seed 35
intervals of 12 heights
the state has 100 pages
10 calls a second
at height 165: damage the disk of 2
at height 168: start 2
at height 170: resync 2
run 40s, recover within 60s
expect height 180
expect node 2 fetched 1500 to 3500 KiB
