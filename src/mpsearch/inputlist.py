"""The list of input files that a device's tool reads, in SNPE's form or SyNAP's. Pure."""

from __future__ import annotations

import os
from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path

from mpsearch.errors import ConfigError

LIST_NAME = "input_list.txt"


class RawType(StrEnum):
    UINT8 = "uint8"
    INT8 = "int8"
    FLOAT16 = "float16"
    FLOAT32 = "float32"


class ListForm(StrEnum):
    """``snpe``: ``name:=path`` (the bare path without a name); ``synap``: a path a line; ``none``: no list."""

    SNPE = "snpe"
    SYNAP = "synap"
    NONE = "none"


def input_list(
    files: Sequence[Path],
    form: ListForm,
    *,
    name: str = "",
    first_line: str = "",
    prefix: str = "",
) -> str:
    """The list's text.

    Args:
        name: the network's input, for SNPE's ``name:=path``.
        first_line: SNPE's optional first line, which asks for outputs: ``#layer layer`` or ``%tensor tensor``.
        prefix: the files' folder where the list will be read, e.g. on the device; "" writes absolute paths.

    Raises:
        ConfigError: a first line that SNPE would take for a photograph, or a name or first line in SyNAP's form.
    """
    places = [f"{prefix.rstrip('/')}/{path.name}" if prefix else os.path.abspath(path) for path in files]
    spaced = next((place for place in places if " " in place), None)
    if spaced is not None:
        raise ConfigError(f"{spaced!r} has a space in it, which ends a path in an input list", hint="Move the folder.")
    if form is ListForm.SYNAP:
        if name or first_line:
            raise ConfigError("an input's name and a first line belong to SNPE's lists", hint="Use --list snpe.")
        return "".join(f"{place}\n" for place in places)
    if first_line and (first_line[0] not in "#%" or not first_line[1:].split()):
        raise ConfigError(
            f"first line {first_line!r}: SNPE would take it for a photograph",
            hint="Write '#layer layer' or '%tensor tensor'; for quantizing leave it out.",
        )
    head = f"{first_line[0]}{' '.join(first_line[1:].split())}\n" if first_line else ""
    return head + "".join(f"{name}:={place}\n" if name else f"{place}\n" for place in places)
