"""Benchmarks of latency and accuracy.

`live` plays a conversation with known ends of speech, in real time, to the real server and to other
systems. `files` compares engines on whole recordings. `sttlab bench` runs them.
"""
