"""``synap_convert`` of the lab: asks :mod:`.workshop`, and ends as the converter there ends.

Only the standard library is imported, and it is started as a file.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import sys


def main(words: list[str]) -> int:
    request = json.dumps({"words": words, "cwd": os.getcwd()}).encode()
    with socket.socket(socket.AF_UNIX) as link:
        link.connect(os.path.join(os.environ["MPSEARCH_LAB"], "convert.sock"))
        socket.send_fds(link, [request], [0, 1, 2])
        code = int(json.loads(link.recv(64) or b"1"))
    if code < 0:
        if -code != signal.SIGKILL:
            signal.signal(-code, signal.SIG_DFL)
        os.kill(os.getpid(), -code)
    return code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
