"""SNPE's tools without the vendor: programs as strict as documented, and a Hexagon that is mpsearch's simulator.

``SnpeLab`` (:mod:`mpsearch.testing.lab.snpe.bench`) puts them into a lab. On the host: ``snpe-onnx-to-dlc``,
``snpe-dlc-quant``, ``snpe-dlc-graph-prepare``, ``snpe-dlc-info``, ``qairt-converter``, ``qairt-quantizer``,
``snpe-diagview``. On the device: ``snpe-net-run``, ``snpe-throughput-net-run``, ``snpe-parallel-run``.

A DLC of the lab is a zip: ``model.onnx``, the network; ``ir.json``, operators and tensors with types and encodings;
``about.json``, the commands, the overrides it was converted with, and what the simulator has to know.
"""
