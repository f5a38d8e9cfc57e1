"""How long after the last word the text stands there, and whether it is right: measured, not said.

`live` plays a conversation with known ends to the real server, in real time, and to other systems;
`files` compares engines on whole recordings. `sttlab bench` runs them.
"""
