"""Runs inside the engine's own environment: Python 3.10, the standard library, numpy, ruamel.yaml and acuitylib.

Nothing of mpsearch is importable there, so that modules here only import one another, relatively. mpsearch itself uses
:mod:`~mpsearch.toolchain.acuity.worker.channel` for the other end.
"""
