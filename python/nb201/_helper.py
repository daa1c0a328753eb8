"""The helper process of a forked child: answers requests on standard input until its end. See _library.py."""

from __future__ import annotations

import os
import struct
import sys

from ._library import _InProcess


def main() -> None:
    library, source = _InProcess(), sys.stdin.buffer
    try:
        while True:
            head = source.read(8)
            if len(head) < 8:
                return
            status, reply = library.send(source.read(struct.unpack("<Q", head)[0]))
            sys.stdout.buffer.write(struct.pack("<iQ", status, len(reply)) + reply)
            sys.stdout.buffer.flush()
    except BrokenPipeError:  # the child was killed
        os._exit(0)


if __name__ == "__main__":
    main()
