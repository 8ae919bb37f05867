"""Writes the node tests of the ONNX project (training operators aside) as files that the test suite reads.

    python tests/conformance/dump.py FOLDER
    RSERVE_CONFORMANCE=FOLDER cargo test --test tests conformance -- --ignored --nocapture

Needs onnx 1.23 and numpy. Each case becomes `<name>/model.onnx`, `<name>/case.json` (dtype and shape of each
input and output, with the tolerances) and `<name>/data.bin` (their elements one after the other, C order).
"""

import json
import pathlib
import sys

import numpy
import onnx
from onnx.backend.test.loader import load_model_tests

TRAINING = ("adagrad", "adam", "momentum", "nesterov", "gradient", "training", "softmax_cross_entropy", "sce_", "nllloss")


def element(value):
    """The tensor's dtype name, shape and bytes; None where it is not a tensor of numbers."""
    if isinstance(value, onnx.TensorProto):
        value = onnx.numpy_helper.to_array(value)
    if isinstance(value, numpy.generic):
        value = numpy.asarray(value)
    if not isinstance(value, numpy.ndarray) or value.dtype == object or value.dtype.kind in "USc":
        return None
    return value.dtype.name, list(value.shape), numpy.ascontiguousarray(value).tobytes()


def main(folder):
    folder = pathlib.Path(folder)
    written = skipped = 0
    for case in load_model_tests(kind="node"):
        if any(word in case.name for word in TRAINING):
            continue
        (inputs, outputs), *_ = case.data_sets
        tensors = [element(v) for v in (*inputs, *outputs)]
        target = folder / case.name
        target.mkdir(parents=True, exist_ok=True)
        (target / "model.onnx").write_bytes(case.model.SerializeToString())
        known = all(t is not None for t in tensors)
        described = [{"dtype": t[0], "shape": t[1]} if t else None for t in tensors]
        (target / "case.json").write_text(json.dumps({
            "inputs": described[: len(inputs)], "outputs": described[len(inputs):],
            "rtol": case.rtol, "atol": case.atol,
        }))
        (target / "data.bin").write_bytes(b"".join(t[2] for t in tensors) if known else b"")
        written += 1
        skipped += not known
    print(f"{written} cases, {skipped} of them with values that are not tensors of numbers")


if __name__ == "__main__":
    main(sys.argv[1])
