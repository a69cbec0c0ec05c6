"""Run on the board, where it has Python with SyNAP's bindings (PyPI ``synap-python``): one load for all photographs.

Started there as a file: ``python3 onboard.py MODEL OUTPUT INPUT...``. Inputs are raw bytes of the model's only input,
the output file gets float32, outputs one after the other, photographs one after the other; the lines printed are those
of ``synap_cli``.
"""

import sys

import numpy
from synap import Network  # type: ignore[import-not-found]


def main(model: str, target: str, inputs: list[str]) -> None:
    """Infer every input file in turn."""
    network = Network(model)
    for tensor in network.outputs:
        print(f"Output buffer: {tensor.name} size: {4 * int(numpy.prod(tensor.shape))}")
    with open(target, "wb") as file:
        for name in inputs:
            with open(name, "rb") as source:
                network.inputs[0].assign(source.read())
            network.predict()
            for tensor in network.outputs:
                file.write(numpy.ascontiguousarray(tensor.to_numpy(), dtype="<f4").tobytes())


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], sys.argv[3:])
