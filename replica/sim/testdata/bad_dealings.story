# bad dealings and withheld ones do not keep seven nodes from their new keys
7 nodes, seed 9
intervals of 14 heights
10 calls a second
node 2 is Byzantine: makes bad dealings, withholds dealings
node 6 is Byzantine: makes bad dealings, makes bad blocks
at 1s: power cut at 0
at 3s: start 0
run 15s, recover within 60s
expect package 28
