"""How fast: several models in one process, in turns, so that a noisy machine is equally unkind to all.

contestants   what can be timed, by name: our backbones, those that one would use instead, whole detectors
stopwatch     runs in turns, medians and spreads, and this machine's rate of matrix products beside them
memory        how much lives at the same time
measure       all of it, for every model at every size
report        a table, JSON, and a picture of latency against multiply-adds
loading       the other side: images per second that a config's pipeline gives
"""
