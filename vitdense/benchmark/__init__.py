"""Times and memory of several models in one process, in turns: a noisy machine is noisy for all of them.

models    what can be timed, by name: our backbones, their alternatives, whole detectors
timing    runs in turns, medians and quartiles, and this machine's rate of matrix products beside them
measure   all of it, for every model at every size
results   a table, JSON, and a picture of latency against multiply-adds
"""
