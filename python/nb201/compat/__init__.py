"""The published Python clients' interfaces over nb201's readers.

``nb201.compat.nas_201_api`` answers as nas-bench-201 2.1 does, and ``nb201.compat.nats_bench`` as
nats-bench 1.8 does: the same names, arguments, results, printed lines and exception types. They do not
load a file: an architecture is read when it is asked for, and dropped again when newer ones need its memory.
What a program changed or still refers to is never dropped.

Every benchmark that ``nb201 query`` reads opens, also a campaign, and a directory without fast_mode.
"""

CACHE_BYTES = 128 << 20
"""Bytes, estimated, that a benchmark keeps of trials. Set it before you open one."""
