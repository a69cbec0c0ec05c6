"""AIMET's ``QuantizationSimModel``, re-evaluated per trial; runs in an environment of its own that has aimet-onnx.

    python aimet_trial.py MODEL CALIBRATION.npy EVALUATION.npy

The simulation is made once. Each line of stdin is a JSON list of the tensors that are 16 bits wide; each answer
on stdout the seconds it took to set the widths, compute the encodings anew and run the evaluation photographs.
"""

import json
import sys
import time

import numpy as np
import onnx
from aimet_onnx.quantsim import QuantizationSimModel


def main() -> None:
    """Answer until stdin ends."""
    answers, sys.stdout = sys.stdout, sys.stderr  # aimet prints
    model = onnx.load(sys.argv[1])
    calibration, evaluation = (np.load(path) for path in sys.argv[2:4])
    name = model.graph.input[0].name
    simulation = QuantizationSimModel(model, param_type="int8", activation_type="int8")
    parameters = set(simulation.param_names)
    activations = {t: q for t, q in simulation.qc_quantize_op_dict.items() if t not in parameters}
    print("answer: ready", file=answers, flush=True)
    for line in sys.stdin:
        start = time.perf_counter()
        wide = set(json.loads(line))
        for tensor, quantizer in activations.items():
            quantizer.set_bitwidth(16 if tensor in wide else 8)
        simulation.compute_encodings([{name: image[None]} for image in calibration])
        for image in evaluation:
            simulation.session.run(None, {name: image[None]})
        print(f"answer: {time.perf_counter() - start}", file=answers, flush=True)


if __name__ == "__main__":
    main()
