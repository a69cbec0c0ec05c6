"""The command line. One small file a command: parse, call, print. Heavy modules are imported inside the commands."""

from mpsearch.cli.app import main

__all__ = ["main"]
