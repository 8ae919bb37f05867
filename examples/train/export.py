"""From a trained network to models/<model>/<version>/model.onnx: folded, checked, one small file."""

import copy
import tempfile
from pathlib import Path

import numpy as np
import onnx
import torch

import models
import roads
import signs
import store
import terrain

OPSET = 17
INPUTS = {
    "road-mask": {"image": (3, 64, 64)},
    "surface": {"image": (3, 64, 64), "mask": (1, 64, 64)},
    "surface-small": {"image": (3, 64, 64)},
    "landing-safety": {"image": (3, 96, 96)},
    "landing-spot": {"safety": (4, 96, 96)},
    "sign-detector": {"image": (3, 160, 160)},
    "sign-reader": {"image": (3, 32, 32)},
}
OUTPUTS = {
    "road-mask": {"mask": (1, 64, 64)},
    "surface": {"probabilities": (5,)},
    "surface-small": {"probabilities": (5,)},
    "landing-safety": {"classes": (4, 96, 96)},
    "landing-spot": {"centre": (2,), "radius": (1,), "confidence": (1,)},
    "sign-detector": {"boxes": (5, 400)},
    "sign-reader": {"probabilities": (10,)},
}
LABELS = {
    "surface": roads.SURFACES,
    "surface-small": roads.SURFACES,
    "landing-safety": terrain.SAFETY,
    "sign-detector": ("sign",),
    "sign-reader": signs.KINDS,
}


def write(model: torch.nn.Module, name: str, version: int) -> str:
    """Writes the model and its labels; says what was written."""
    model = models.folded(copy.deepcopy(model))
    example = tuple(torch.rand(2, *shape) for shape in INPUTS[name].values())
    names = [*INPUTS[name], *OUTPUTS[name]]
    with tempfile.TemporaryDirectory() as folder:
        plain = Path(folder) / "model.onnx"
        torch.onnx.export(
            model, example, str(plain), dynamo=False, opset_version=OPSET,
            input_names=list(INPUTS[name]), output_names=list(OUTPUTS[name]),
            dynamic_axes={n: {0: "N"} for n in names},
        )  # fmt: skip
        graph = onnx.load(plain)
    tidy(graph, name)
    target = store.path(name, version)
    target.parent.mkdir(parents=True, exist_ok=True)
    onnx.checker.check_model(graph, full_check=True)
    onnx.save(graph, target)
    if name in LABELS:
        target.with_name("labels.txt").write_text("\n".join(LABELS[name]) + "\n")

    # The file says what the network says, for another batch than the one it was traced with.
    batch = tuple(torch.rand(3, *shape) for shape in INPUTS[name].values())
    session = store.session(target)
    said = session.run(None, {n: t.numpy() for n, t in zip(INPUTS[name], batch)})
    with torch.no_grad():
        real = model(*batch)
    for ours, theirs in zip(said, real if isinstance(real, tuple) else (real,)):
        np.testing.assert_allclose(ours, theirs.numpy(), rtol=1e-3, atol=1e-5)
    return describe(name, version)


def tidy(graph: onnx.ModelProto, name: str) -> None:
    """Names a person can read, static shapes but for the batch, nothing about where it was made."""
    graph.graph.name = name
    graph.doc_string = ""
    del graph.metadata_props[:]
    for node in [n for n in graph.graph.node if n.op_type == "Constant"]:
        constant = graph.graph.initializer.add()
        constant.CopyFrom(node.attribute[0].t)
        constant.name = node.output[0]
        graph.graph.node.remove(node)
    counts = {}
    for node in graph.graph.node:
        counts[node.op_type] = counts.get(node.op_type, 0) + 1
        node.name = f"{node.op_type}_{counts[node.op_type]}"
        node.doc_string = ""
        del node.metadata_props[:]
    for value in graph.graph.output:
        axes = value.type.tensor_type.shape
        del axes.dim[:]
        axes.dim.add().dim_param = "N"
        for size in OUTPUTS[name][value.name]:
            axes.dim.add().dim_value = size
    del graph.graph.value_info[:]


def multiply_adds(name: str, version: int) -> int:
    """Multiply-adds of one image in convolutions and matrix products."""
    graph = onnx.shape_inference.infer_shapes(onnx.load(store.path(name, version)), data_prop=True).graph
    shape = {
        v.name: [d.dim_value or 1 for d in v.type.tensor_type.shape.dim]
        for v in [*graph.input, *graph.value_info, *graph.output]
    }
    shape |= {w.name: list(w.dims) for w in graph.initializer}
    total = 0
    for node in graph.node:
        if node.op_type == "Conv":
            total += int(np.prod(shape[node.input[1]][1:]) * np.prod(shape[node.output[0]][1:]))
        elif node.op_type == "ConvTranspose":
            total += int(np.prod(shape[node.input[1]][1:]) * np.prod(shape[node.input[0]][1:]))
        elif node.op_type in ("Gemm", "MatMul"):
            total += int(np.prod(shape[node.input[1]]))
    return total


def describe(name: str, version: int) -> str:
    """A row of the table of sizes in README.md."""
    operators = [node.op_type for node in onnx.load(store.path(name, version)).graph.node]
    kilobytes, work = store.path(name, version).stat().st_size / 1e3, multiply_adds(name, version) / 1e6
    return (
        f"| `{name}` | {version} | {kilobytes:.0f} kB | {work:.2f} million "
        f"| {len(operators)} | {', '.join(sorted(set(operators)))} |"
    )


if __name__ == "__main__":
    print("| Model | Version | Size | Multiply-adds of one picture | Nodes | Operators |")
    print("| --- | ---: | ---: | ---: | ---: | --- |")
    for name in INPUTS:
        for version in store.VERSIONS[name]:
            print(describe(name, version))
