# a Byzantine node sends the certificate of one height as that of another
4 nodes, seed 446
10 calls a second
node 1 is Byzantine: gives certificates other heights
run 4s, recover within 30s
