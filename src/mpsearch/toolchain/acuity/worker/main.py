"""The program of a worker: says hello when the engine has been imported, then answers requests until stdin ends.

Each request is answered by a child of its own, forked from the state after the import: what a job leaves behind in the
engine, or leaks, is gone with it, and the same job gives the same bits whatever ran before.

``{"do": "layers", "model", "metafile"}`` imports a network; the answer is its layers. ``{"do": "evaluate", "model",
"metafile", "names", "photos", "out", "target", "sdk"}`` quantizes it by the metafile, runs the photographs and
compiles; files go to the folder ``out``.
"""

from __future__ import annotations

import os
import platform
import shutil
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

from .channel import DIED, Channel, Message
from .steady import steady

_TAIL = 20_000
"""Characters of a job's log that go with an answer."""


def run() -> None:
    """Serve this process's stdin and stdout."""
    steady()
    channel = Channel.of_process()
    from . import engine

    engine.load()
    channel.hello(engine=version("acuitylite"), python=platform.python_version())
    for request in channel.requests():
        child = os.fork()
        if child == 0:
            log = _Log()
            channel.answer(request, lambda asked, say: _do(asked, say, log), log.tail)  # noqa: B023
            os._exit(0)
        _, status = os.waitpid(child, 0)
        if status != 0:
            how = os.waitstatus_to_exitcode(status)
            channel.fail(request, DIED, f"was killed by signal {-how}" if how < 0 else f"ended with code {how}", "")


def _do(request: Message, say: Callable[[str], None], log: _Log) -> Message:
    if request.get("do") not in ("layers", "evaluate"):
        raise ValueError(f"unknown request: {request.get('do')!r}")
    folder = Path(request["metafile"]).parent
    log.to(folder / "engine.log")
    from . import engine

    meta = engine.read_metafile(Path(request["metafile"]))
    say("Importing...")
    network = engine.Network(request["model"], meta, folder)
    if request["do"] == "layers":
        found = network.layers({})
        return {"parents": found.parents, "inputs": list(found.inputs), "outputs": list(found.outputs)}
    return _evaluate(request, network, say, log)


def _evaluate(request: Message, network: Any, say: Callable[[str], None], log: _Log) -> Message:
    import numpy as np

    out, seconds = Path(request["out"]), {}
    start = time.monotonic()
    moved = network.quantize(request["names"], say)
    if network.quantized:
        network.table(out / "quantization_info.yaml")
    entropy = Path("entropy.txt")  # the engine leaves it where it was started
    if entropy.is_file():
        shutil.move(str(entropy), str(out / "quantization_entropy.txt"))
    seconds["quantize"] = round(time.monotonic() - start, 2)
    start = time.monotonic()
    outputs = network.run(np.load(request["photos"], mmap_mode="r"), say)
    np.savez_compressed(out / "outputs.npz", **{str(index): values for index, values in enumerate(outputs.values())})
    seconds["run"] = round(time.monotonic() - start, 2)
    answer = {"requantized": moved, "outputs": list(outputs), "seconds": seconds}
    if request["target"]:
        start = time.monotonic()
        say("Compiling...")
        answer["compiled"] = _compile(request, network, out, log)
        seconds["compile"] = round(time.monotonic() - start, 2)
    return answer


def _compile(request: Message, network: Any, out: Path, log: _Log) -> Message:
    """Refused or not; what it said, and the performance model's cycles."""
    from .performance import operations

    begin = log.size()
    build = out / "build"
    try:
        network.compile(request["target"], Path(request["sdk"]), build)
    except (Exception, SystemExit) as error:  # the engine's own kinds
        return {"ok": False, "said": f"{type(error).__name__}: {error}", "log": log.tail()}
    finally:
        shutil.rmtree(build, ignore_errors=True)
    return {"ok": True, "operations": operations(log.since(begin))}


class _Log:
    """Where stdout and stderr go, the compiler's included: a file a job."""

    def __init__(self) -> None:
        self._path: Path | None = None

    def to(self, path: Path) -> None:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        os.dup2(handle, 1)
        os.dup2(handle, 2)
        os.close(handle)
        self._path = path

    def size(self) -> int:
        return self._path.stat().st_size if self._path is not None else 0

    def since(self, begin: int) -> str:
        if self._path is None:
            return ""
        with self._path.open("rb") as file:
            file.seek(begin)
            return file.read().decode(errors="replace")

    def tail(self) -> str:
        return self.since(max(0, self.size() - _TAIL))
