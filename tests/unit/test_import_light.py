"""What importing costs: nothing heavy is loaded before it is needed."""

from __future__ import annotations

import subprocess
import sys

HEAVY = ("onnx", "onnxruntime", "optuna", "matplotlib", "pandas")


def loaded_after(code: str) -> set[str]:
    """Names of all modules that a fresh interpreter has after ``code``."""
    script = f"import sys\n{code}\nprint('\\n' + '\\n'.join(sys.modules), file=sys.stderr)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60)
    return set(done.stderr.split())


def test_the_check_itself_sees_what_is_loaded() -> None:
    assert {"json", "mpsearch.canonical"} <= loaded_after("import json, mpsearch.canonical")


def test_importing_mpsearch_loads_nothing_heavy() -> None:
    assert loaded_after("import mpsearch") & set(HEAVY) == set()


def test_help_loads_nothing_heavy() -> None:
    code = (
        "sys.argv = ['mpsearch', '--help']\n"
        "from mpsearch.cli import main\n"
        "try:\n    main()\nexcept SystemExit as end:\n    assert not end.code, end.code"
    )
    loaded = loaded_after(code)
    assert "mpsearch.cli" in loaded
    assert loaded & set(HEAVY) == set()
