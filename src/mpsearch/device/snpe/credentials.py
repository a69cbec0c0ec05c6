"""Address and password from a ``.env`` file: ``HOSTNAME``, ``DEVICE_USER``, ``PASSWORD``. Only read, never shown."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from mpsearch.errors import ConfigError
from mpsearch.transport.ssh import SshAddress, ask_password

_LINE = re.compile(r"""^\s*(?:export\s+)?(?P<name>\w+)\s*=\s*(?P<value>"[^"]*"|'[^']*'|.*?)\s*$""")


@dataclass(frozen=True, slots=True)
class Credentials:
    """Attributes:
    password: takes the address; None where the file holds none, so that it is asked for as always.
    """

    host: str
    user: str
    password: Callable[[SshAddress], str | None] = field(default=ask_password, repr=False)


def read(path: Path) -> Credentials:
    """Read the file; ``IP`` and ``USER`` do in place of the first two.

    Raises:
        ConfigError: unreadable; no line is quoted, as it may hold a password.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not UTF-8"
        raise ConfigError(
            f"{path}: cannot be read: {reason}", hint="It holds lines HOSTNAME=, DEVICE_USER=, PASSWORD=."
        ) from None
    values = {}
    for line in text.splitlines():
        if (found := _LINE.match(line)) and not line.lstrip().startswith("#"):
            value = found["value"]
            quoted = len(value) > 1 and value[0] == value[-1] and value[0] in "\"'"
            values[found["name"]] = value[1:-1] if quoted else value
    password = values.get("PASSWORD")
    host, user = values.get("HOSTNAME") or values.get("IP", ""), values.get("DEVICE_USER") or values.get("USER", "")
    return Credentials(host, user, ask_password if not password else lambda _: password)
