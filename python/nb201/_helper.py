"""The helper process of a forked child: answers requests on standard input until its end. See _library.py."""

from __future__ import annotations

import struct
import sys

from ._library import _InProcess


def main() -> None:
    library, source, to = _InProcess(), sys.stdin.buffer, sys.stdout.buffer
    while True:
        head = source.read(8)
        if len(head) < 8:
            return
        status, reply = library.send(source.read(struct.unpack("<Q", head)[0]))
        to.write(struct.pack("<iQ", status, len(reply)) + reply)
        to.flush()


if __name__ == "__main__":
    main()
