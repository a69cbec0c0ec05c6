"""A study file as text: a YAML mapping, with what it takes from the environment."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

import yaml

from mpsearch.errors import ConfigError


def read(path: Path) -> dict[str, Any]:
    """The mapping in a study file, environment variables replaced.

    Raises:
        ConfigError: unreadable, not YAML, or no mapping.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: cannot be read ({error})") from error
    try:
        data = yaml.safe_load(_expand(text, path))
    except yaml.YAMLError as error:
        raise ConfigError(f"{path}: not YAML: {error}") from error
    if not isinstance(data, dict):
        raise ConfigError(f"{path}: a study is a mapping with `model:`, `data:`, `decoder:`, `budget:` ...")
    return data


def _expand(text: str, path: Path) -> str:
    def value(match: re.Match[str]) -> str:
        name: str = match.group(1)
        default: str | None = match.group(2)
        found = os.environ.get(name, default)
        if found is None:
            line = text[: match.start()].count("\n") + 1
            raise ConfigError(f"{path}: line {line}: environment variable {name} is not set", hint=f"export {name}=...")
        return found

    return re.sub(r"\$\{(\w+)(?::-([^}]*))?\}", value, text)
