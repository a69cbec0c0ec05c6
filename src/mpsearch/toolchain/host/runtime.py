"""onnxruntime on this computer's CPU, always set up the same way, and said how."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import onnx
import onnxruntime as ort

from mpsearch.errors import CandidateError, ConfigError

_INTEGER = ("QLinear", "QGemm", "MatMulInteger", "ConvInteger", "QAttention", "QEmbed")


@dataclass(frozen=True, slots=True)
class Runtime:
    """How models run.

    Attributes:
        threads: for one inference; the calling thread is one of them.
        pin: CPUs to run on while timing, or None to leave that to the system.

    Raises:
        ConfigError: no thread, or CPUs that this process may not use.
    """

    threads: int = 1
    pin: tuple[int, ...] | None = None

    def __post_init__(self) -> None:
        if self.threads < 1:
            raise ConfigError(f"host: {self.threads} threads; at least 1 is needed")
        if self.pin is None:
            return
        if not hasattr(os, "sched_setaffinity"):
            raise ConfigError(f"host: {platform.system()} cannot pin a process to CPUs", hint="Leave `pin` out.")
        allowed = os.sched_getaffinity(0)
        if not self.pin or not set(self.pin) <= allowed:
            raise ConfigError(f"host: pin {list(self.pin)}: this process may use CPUs {sorted(allowed)}")

    @classmethod
    def default(cls, threads: int = 1) -> Runtime:
        """Pinned to the last CPUs that this process may use, where the system can pin at all."""
        if not hasattr(os, "sched_getaffinity"):
            return cls(threads)
        allowed = sorted(os.sched_getaffinity(0))
        return cls(threads, tuple(allowed[-threads:]))

    def describe(self) -> dict[str, str]:
        """For the conditions of a timing."""
        return {
            "runtime": f"onnxruntime {ort.__version__}",
            "threads": str(self.threads),
            "pinned": "no" if self.pin is None else "cpu " + " ".join(map(str, self.pin)),
            "machine": f"{platform.machine()} {cpu_name()}".strip(),
        }

    @contextmanager
    def pinned(self) -> Iterator[None]:
        """The calling thread, and those it starts meanwhile, stay on the chosen CPUs."""
        if self.pin is None:
            yield
            return
        before = os.sched_getaffinity(0)
        os.sched_setaffinity(0, self.pin)
        try:
            yield
        finally:
            os.sched_setaffinity(0, before)

    def session(
        self, model: Path | bytes, *, optimised: Path | None = None, trace: Path | None = None
    ) -> ort.InferenceSession:
        """A session with every optimisation.

        Args:
            optimised: where to write the graph that really runs.
            trace: how the file begins that the session's ``end_profiling`` leaves; None profiles nothing.

        Raises:
            CandidateError: onnxruntime does not take the model.
        """
        options = ort.SessionOptions()
        options.log_severity_level = 3
        options.intra_op_num_threads = self.threads
        options.inter_op_num_threads = 1
        options.execution_mode = ort.ExecutionMode.ORT_SEQUENTIAL
        options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_ALL
        if optimised is not None:
            options.optimized_model_filepath = str(optimised)
        if trace is not None:
            options.enable_profiling = True
            options.profile_file_prefix = str(trace)
        source: Any = str(model) if isinstance(model, Path) else model
        try:
            return ort.InferenceSession(source, options, providers=["CPUExecutionProvider"])
        except Exception as error:  # onnxruntime raises pybind exceptions of many kinds
            name = model.name if isinstance(model, Path) else "the model"
            raise CandidateError(f"onnxruntime cannot load {name}: {error}", stage="build") from error


def cpu_name() -> str:
    """As the system calls it, or nothing."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor()
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), "")


def is_integer(node: onnx.NodeProto) -> bool:
    """Whether a node of an optimised graph is one of onnxruntime's integer kernels."""
    return str(node.op_type).startswith(_INTEGER)
