"""What mpsearch and a worker say to one another: JSON, one object a line, over the worker's stdin and stdout.

The worker speaks first: ``{"hello": "mpsearch-acuity", "protocol": 1, ...}``. Then each request ``{"id": n, "do": verb,
...}`` is answered by any number of ``{"id": n, "progress": text}`` and one ``{"id": n, "done": {...}}`` or
``{"id": n, "failed": {"type", "message", "log"}}``. Arrays go through files. When stdin ends, the worker does too.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterator
from typing import IO, Any

PROTOCOL = 1
HELLO = "mpsearch-acuity"

DIED = "Died"
"""Type of a failure whose process is gone."""

Message = dict[str, Any]
Do = Callable[[Message, Callable[[str], None]], Message]
"""Takes a request and a function for progress; returns what was done."""


class Garbage(Exception):
    """A line that is no message of this protocol."""


def encode(message: Message) -> bytes:
    """One line."""
    return json.dumps(message, separators=(",", ":")).encode() + b"\n"


def decode(line: bytes) -> Message:
    """The inverse of :func:`encode`.

    Raises:
        Garbage: anything else; the argument shows the beginning of it.
    """
    try:
        message = json.loads(line)
    except ValueError:
        message = None
    if not isinstance(message, dict):
        raise Garbage(line[:80].decode(errors="replace").strip())
    return message


class Channel:
    """The worker's end. What anybody else prints goes to stderr, whatever language it is written in.

    Args:
        requests, replies: binary streams; :meth:`of_process` takes those of this process.
    """

    def __init__(self, requests: IO[bytes], replies: IO[bytes]) -> None:
        self._requests, self._replies = requests, replies

    @classmethod
    def of_process(cls) -> Channel:
        """Keep stdin and stdout for the protocol, and leave the null device and stderr in their places."""
        sys.stdout.flush()
        requests, replies = os.dup(0), os.dup(1)
        null = os.open(os.devnull, os.O_RDONLY)
        os.dup2(null, 0)
        os.dup2(2, 1)
        os.close(null)
        return cls(os.fdopen(requests, "rb"), os.fdopen(replies, "wb"))

    def hello(self, **about: str) -> None:
        self._say({"hello": HELLO, "protocol": PROTOCOL, **about})

    def requests(self) -> Iterator[Message]:
        """Until there are no more."""
        for request in self._requests:
            yield decode(request)

    def answer(self, request: Message, do: Do, log: Callable[[], str]) -> None:
        """Do what is asked, and say what came of it: what ``do`` raises is a failed request, not the end.

        Args:
            log: the last lines that the engine printed.
        """
        try:
            done = do(request, lambda text: self._say({"id": request.get("id"), "progress": text}))
        except (Exception, SystemExit) as error:  # the engine has no error tree of its own, and leaves in places
            self.fail(request, type(error).__name__, str(error), log())
        else:
            self._say({"id": request.get("id"), "done": done})

    def fail(self, request: Message, kind: str, message: str, log: str) -> None:
        """Answer with a failure; ``kind`` is the error's class, or :data:`DIED`."""
        self._say({"id": request.get("id"), "failed": {"type": kind, "message": message, "log": log}})

    def _say(self, message: Message) -> None:
        self._replies.write(encode(message))
        self._replies.flush()
