"""Quantization arithmetic and the host simulator."""

VERSION = 2
"""Part of a study's fingerprint: raised whenever the same candidate may get other outputs."""
