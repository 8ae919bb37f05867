"""Writes the node tests of the ONNX project (training operators aside) as files that the test suite reads.

    python tests/conformance/dump.py FOLDER
    RSERVE_CONFORMANCE=FOLDER cargo test --test tests conformance -- --ignored --nocapture

Needs onnx 1.23 and numpy. Each case becomes `<name>/model.onnx`, `<name>/case.json` (what each input and output
is, with the tolerances) and `<name>/data.bin` (the elements of all tensors one after the other, C order; those of
less than a byte take one each). A value is `{"dtype", "shape"}`, with its `"strings"` where it is a tensor of
strings, `{"sequence": [value, ...]}`, or null for an empty optional.
"""

import json
import pathlib
import sys

import numpy
import onnx
from onnx.backend.test.loader import load_model_tests

TRAINING = ("adagrad", "adam", "momentum", "nesterov", "gradient", "training", "softmax_cross_entropy", "sce_", "nllloss")
SMALL = {"float8_e4m3fn": "float8e4m3fn", "float8_e4m3fnuz": "float8e4m3fnuz", "float8_e5m2": "float8e5m2",
         "float8_e5m2fnuz": "float8e5m2fnuz", "float8_e8m0fnu": "float8e8m0", "float4_e2m1fn": "float4e2m1"}


def described(value, data):
    """What a value is; the bytes of its elements are added to the data."""
    if isinstance(value, onnx.TensorProto):
        value = onnx.numpy_helper.to_array(value)
    elif isinstance(value, onnx.SequenceProto):
        value = onnx.numpy_helper.to_list(value)
    elif isinstance(value, onnx.OptionalProto):
        value = onnx.numpy_helper.to_optional(value)
    if value is None:
        return None
    if isinstance(value, (list, tuple)):
        return {"sequence": [described(v, data) for v in value]}
    value = numpy.asarray(value)
    if value.dtype == object or value.dtype.kind in "US":
        texts = [v.decode() if isinstance(v, bytes) else str(v) for v in value.ravel()]
        return {"dtype": "string", "shape": list(value.shape), "strings": texts}
    name = value.dtype.name
    if name in ("int4", "int2", "uint4", "uint2"):
        value = value.astype(numpy.int8)
    elif name in SMALL:
        value = value.view(numpy.uint8)
    data.append(numpy.ascontiguousarray(value).tobytes())
    return {"dtype": SMALL.get(name, name), "shape": list(value.shape)}


def main(folder):
    folder = pathlib.Path(folder)
    written = 0
    for case in load_model_tests(kind="node"):
        if any(word in case.name for word in TRAINING):
            continue
        (inputs, outputs), *_ = case.data_sets
        data = []
        target = folder / case.name
        target.mkdir(parents=True, exist_ok=True)
        (target / "model.onnx").write_bytes(case.model.SerializeToString())
        (target / "case.json").write_text(json.dumps({
            "inputs": [described(v, data) for v in inputs],
            "outputs": [described(v, data) for v in outputs],
            "rtol": case.rtol, "atol": case.atol,
        }))
        (target / "data.bin").write_bytes(b"".join(data))
        written += 1
    print(f"{written} cases")


if __name__ == "__main__":
    main(sys.argv[1])
