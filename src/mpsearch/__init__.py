"""mpsearch: mixed-precision search for NPUs.

Nothing heavy is imported here: ``import mpsearch`` loads none of onnx, onnxruntime, optuna, matplotlib, pandas.
"""

__version__ = "0.1.0"
