"""The compiler's performance model, as it prints it with ``NN_EXT_SHOW_PERF=1``. Pure.

A block of lines an operation, between ``Show Perf`` and ``Show Perf End``; the cycles are of a nominal 1 GHz. They
are a model's: not silicon's, and not a latency.
"""

from __future__ import annotations

import re

_BLOCK = re.compile(r"\*Show Perf\*(.*?)\*Show Perf End\*", re.DOTALL)
_LAYER = re.compile(r"^layer_id:\d+ layer_name:(\S+)", re.MULTILINE)
_OPERATION = re.compile(
    r"^operation_id:\d+ operation_name:(?:VXNNE_OPERATOR_)?(\w+) "
    r"operation_target:(?:VXNNE_OPERATION_TARGET_)?(\w+)", re.MULTILINE,
)  # fmt: skip
_CYCLES = re.compile(r"^CycleCount: (\d+)", re.MULTILINE)

Operation = tuple[str, str, int]
"""Name of the compiled layer, ``"NN:CONVOLUTION"`` and the like, cycles."""


def operations(text: str) -> list[Operation]:
    """In the order printed; a block without a name or a count is left out."""
    found = []
    for block in _BLOCK.findall(text):
        layer, operation, count = _LAYER.search(block), _OPERATION.search(block), _CYCLES.search(block)
        if operation is not None and count is not None:
            name = layer.group(1) if layer is not None else ""
            found.append((name, f"{operation.group(2)}:{operation.group(1)}", int(count.group(1))))
    return found
