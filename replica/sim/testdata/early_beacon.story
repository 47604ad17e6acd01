# a beacon comes before its interval is known, and is asked for again by who finds itself behind its own state
4 nodes, seed 8
intervals of 11 heights
the state has 113 pages
messages take 12.9ms to 59.6ms
15 calls a second
the clock of node 0 is 275.5ms behind
the clock of node 2 is 28.5ms ahead
node 1 is 19 times slower
at 1.493s: silence 0 to 1
at 2.904s: power cut at 3
at 3.232s: cut 2
at 3.297s: heal
at 3.305s: start 3
at 3.324s: power cut at 0
at 3.355s: start 0
at 3.365s: power cut at 2
at 3.794s: power cut at 0 3
at 3.861s: power cut at 0
at 4.422s: start 0
at 4.966s: start 2
at 5.175s: start 0 3
at 6.911s: heal
at 8.7176s: wipe the disk of 0
at 10.6806s: power cut in the middle of a fetch of 0
at 10.6806s: start 0
at 10.8036s: start 0
run 13.7796s, recover within 1m10s
