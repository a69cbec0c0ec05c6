"""The lab's converters: one process that has everything loaded and forks for each call of ``synap_convert``.

A converter of its own would spend most of its second on importing. What runs is :mod:`.convert` all the same, in a
process, a folder and with streams of its own, and it dies with the program that asked for it.
"""

from __future__ import annotations

import json
import os
import select
import signal
import socket
import sys
import traceback
from pathlib import Path
from typing import Any, NoReturn

from mpsearch.testing.lab import convert

SOCKET = "convert.sock"


def _convert(request: dict[str, Any], streams: list[int]) -> NoReturn:
    """In the converter's own process."""
    code = 1
    try:
        for number, stream in enumerate(streams):
            os.dup2(stream, number)
        os.chdir(request["cwd"])
        sys.argv = ["synap_convert", *request["words"]]
        try:
            convert.run()
        except SystemExit as end:
            code = int(end.code or 0) if isinstance(end.code, int | None) else 1
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def _serve(link: socket.socket) -> None:
    """One call: start the converter, and end it when the caller is gone."""
    data, streams, _, _ = socket.recv_fds(link, 1 << 20, 3)
    if not data:
        return
    child = os.fork()
    if child == 0:
        link.close()
        _convert(json.loads(data), list(streams))
    for stream in streams:
        os.close(stream)
    ended = os.pidfd_open(child)
    ready, _, _ = select.select([ended, link.fileno()], [], [])
    if ended not in ready:
        os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    if ended in ready:
        link.sendall(json.dumps(os.waitstatus_to_exitcode(status)).encode())


def main() -> None:
    """Serve on the socket ``convert.sock`` of the lab's folder until killed."""
    folder = Path(sys.argv[1])
    server = socket.socket(socket.AF_UNIX)
    server.bind(str(folder / "convert.part"))
    server.listen(16)
    os.rename(folder / "convert.part", folder / SOCKET)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # whoever served a call is gone without a trace
    while True:
        link, _ = server.accept()
        with link:
            if os.fork() == 0:
                server.close()
                signal.signal(signal.SIGCHLD, signal.SIG_DFL)
                try:
                    _serve(link)
                finally:
                    os._exit(0)


if __name__ == "__main__":
    main()
