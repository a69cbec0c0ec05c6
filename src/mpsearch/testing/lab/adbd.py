"""The device's side of adb over TCP, enough for ``adb connect``, ``shell``, ``push`` and ``pull`` of a real client.

Protocol: Android's ``adb/protocol.txt`` and ``SYNC.TXT``. Every program runs on this computer with the environment that
the lab gives; paths are this computer's. Run as ``python -m mpsearch.testing.lab.adbd PORT_FILE``.
"""

from __future__ import annotations

import contextlib
import os
import queue
import socket
import stat
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

from mpsearch.testing.lab.faults import Faults

_MAX = 256 * 1024
_HEADER = struct.Struct("<6I")
_EXIT, _STDOUT, _STDERR = 3, 1, 2


def _code(name: bytes) -> int:
    return int.from_bytes(name, "little")


class Link:
    """One client's connection."""

    def __init__(self, sock: socket.socket, faults: Faults) -> None:
        self.sock, self.faults = sock, faults
        self._lock = threading.Lock()
        self._streams: dict[int, Stream] = {}
        self._next = 1

    def serve(self) -> None:
        with contextlib.suppress(OSError), self.sock:
            while (message := self._receive()) is not None:
                self._handle(*message)
        for stream in list(self._streams.values()):
            stream.end()

    def send(self, name: bytes, first: int, second: int, data: bytes = b"") -> None:
        code = _code(name)
        head = _HEADER.pack(code, first, second, len(data), sum(data) & 0xFFFFFFFF, code ^ 0xFFFFFFFF)
        with self._lock:
            self.sock.sendall(head + data)

    def cut(self) -> None:
        """Break the connection without a word."""
        with contextlib.suppress(OSError):
            self.sock.shutdown(socket.SHUT_RDWR)

    def _receive(self) -> tuple[bytes, int, int, bytes] | None:
        head = self._exactly(_HEADER.size)
        if head is None:
            return None
        code, first, second, size, _, _ = _HEADER.unpack(head)
        data = self._exactly(size) if size else b""
        return None if data is None else (code.to_bytes(4, "little"), first, second, data)

    def _exactly(self, size: int) -> bytes | None:
        data = bytearray()
        while len(data) < size:
            part = self.sock.recv(size - len(data))
            if not part:
                return None
            data += part
        return bytes(data)

    def _handle(self, name: bytes, first: int, second: int, data: bytes) -> None:
        if name in (b"CNXN", b"AUTH"):
            if self.faults.active("unauthorized"):
                self.send(b"AUTH", 1, 0, os.urandom(20))  # a client with no accepted key gets token after token
                return
            self.send(
                b"CNXN", 0x01000000, _MAX, b"device::ro.product.name=lab;ro.product.model=lab;features=shell_v2,cmd"
            )
        elif name == b"OPEN":
            stream = Stream(self, self._next, first)
            self._next += 1
            self._streams[stream.own] = stream
            service = data.rstrip(b"\0").decode(errors="surrogateescape")
            self.send(b"OKAY", stream.own, first)
            threading.Thread(target=stream.serve, args=(service,), daemon=True).start()
        elif name == b"WRTE" and second in self._streams:
            self._streams[second].arrived.put(data)
            self.send(b"OKAY", second, first)
        elif name == b"OKAY" and second in self._streams:
            self._streams[second].ready.release()
        elif name == b"CLSE" and second in self._streams:
            self._streams.pop(second).end()


class Stream:
    """One service on a connection."""

    def __init__(self, link: Link, own: int, other: int) -> None:
        self._link, self.own, self._other = link, own, other
        self.arrived: queue.Queue[bytes | None] = queue.Queue()
        self.ready = threading.Semaphore(1)
        self._process: subprocess.Popen[bytes] | None = None
        self._writing = threading.Lock()

    def end(self) -> None:
        self.arrived.put(None)
        self.ready.release()
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError):
                self._process.kill()

    def serve(self, service: str) -> None:
        kind, _, rest = service.partition(":")
        with contextlib.suppress(OSError, EOFError):
            if kind.startswith("shell") or kind == "exec":
                self._shell(rest, framed="v2" in kind.split(","))
            elif kind == "sync":
                Sync(self._read_exactly, self._write, self._link).serve()
            self._link.send(b"CLSE", self.own, self._other)

    def _write(self, data: bytes) -> None:
        for start in range(0, len(data), _MAX // 2):
            with self._writing:
                self.ready.acquire()
                self._link.send(b"WRTE", self.own, self._other, data[start : start + _MAX // 2])

    _left = b""

    def _read_exactly(self, size: int) -> bytes:
        while len(self._left) < size:
            part = self.arrived.get()
            if part is None:
                raise EOFError
            self._left += part
        data, self._left = self._left[:size], self._left[size:]
        return data

    def _shell(self, line: str, *, framed: bool) -> None:
        self._process = subprocess.Popen(
            ["sh", "-c", line],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE if framed else subprocess.STDOUT,
        )
        threads = [
            threading.Thread(target=self._copy, args=(pipe, number, framed), daemon=True)
            for pipe, number in ((self._process.stdout, _STDOUT), (self._process.stderr, _STDERR))
            if pipe is not None
        ]
        for thread in threads:
            thread.start()
        code = self._process.wait()
        for thread in threads:
            thread.join()
        if framed:
            self._write(struct.pack("<BIB", _EXIT, 1, code & 0xFF))

    def _copy(self, pipe: object, number: int, framed: bool) -> None:
        read: Callable[[int], bytes] = pipe.read1  # type: ignore[attr-defined]
        with contextlib.suppress(OSError):
            while data := read(16384):
                self._write(struct.pack("<BI", number, len(data)) + data if framed else data)


class Sync:
    """The file service."""

    def __init__(self, read: Callable[[int], bytes], write: Callable[[bytes], None], link: Link) -> None:
        self._read, self._write, self._link = read, write, link

    def serve(self) -> None:
        while True:
            name, size = self._read(4), struct.unpack("<I", self._read(4))[0]
            if name == b"QUIT":
                return
            text = self._read(size).decode(errors="surrogateescape")
            if name == b"STAT":
                self._write(b"STAT" + struct.pack("<3I", *self._stat(text)))
            elif name == b"SEND":
                self._receive(text.rpartition(",")[0])
            elif name == b"RECV":
                self._deliver(text)
            else:
                self._fail(f"unknown command {name!r}")
                return

    def _stat(self, path: str) -> tuple[int, int, int]:
        try:
            found = os.stat(path)
        except OSError:
            return 0, 0, 0
        return found.st_mode, found.st_size & 0xFFFFFFFF, int(found.st_mtime)

    def _receive(self, path: str) -> None:
        trouble = "No space left on device" if self._link.faults.take("disk-full") else ""
        cut = self._link.faults.take("cut-push")
        try:
            file = open(path, "wb") if not trouble else None  # noqa: SIM115 - closed below, read to the end either way
        except OSError as error:
            trouble, file = f"couldn't create file: {error.strerror}", None
        while True:
            name, size = self._read(4), struct.unpack("<I", self._read(4))[0]
            if name == b"DONE":
                break
            data = self._read(size)
            if file is not None:
                file.write(data[: len(data) // 2] if cut else data)
            if cut:
                self._link.cut()
                raise EOFError
        if file is not None:
            file.close()
            os.chmod(path, stat.S_IRUSR | stat.S_IWUSR)
        if trouble:
            self._fail(trouble)
        else:
            self._write(b"OKAY" + struct.pack("<I", 0))

    def _deliver(self, path: str) -> None:
        try:
            data = Path(path).read_bytes()
        except OSError as error:
            self._fail(f"open failed: {error.strerror}")
            return
        for start in range(0, len(data), 65536):
            part = data[start : start + 65536]
            self._write(b"DATA" + struct.pack("<I", len(part)) + part)
        self._write(b"DONE" + struct.pack("<I", 0))

    def _fail(self, message: str) -> None:
        self._write(b"FAIL" + struct.pack("<I", len(message)) + message.encode())


def main() -> None:
    """Serve on a free port of the loopback until killed; write the port to the file named as argument."""
    faults = Faults.of_environment()
    server = socket.create_server(("127.0.0.1", 0))
    target = Path(sys.argv[1])
    part = target.with_suffix(".part")
    part.write_text(str(server.getsockname()[1]))
    part.replace(target)
    while True:
        sock, _ = server.accept()
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if faults.active("offline"):
            time.sleep(0.2)
            sock.close()
            continue
        threading.Thread(target=Link(sock, faults).serve, daemon=True).start()


if __name__ == "__main__":
    main()
