"""The models that `cpu.py` measures: networks as torch exports them, with random weights, and single operations.

Each is made once and kept; `shapes` says what its free axes are for a batch.
"""

import warnings
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

FLOAT = TensorProto.FLOAT
TOKENS = 128


def networks() -> dict:
    """By name: what makes the file."""
    made = {name: lambda path, name=name: vision(path, name) for name in
            ["resnet18", "resnet50", "mobilenet_v2", "efficientnet_b0", "squeezenet1_1", "vit_b_16",
             "lraspp_mobilenet_v3", "deeplabv3_mobilenet_v3", "ssdlite320"]}
    return made | {"text_encoder": text_encoder, "lstm": lambda p: recurrent(p, "LSTM"),
                   "gru": lambda p: recurrent(p, "GRU"), "unet": unet}


def export(module, inputs: tuple, path: Path, dynamic: dict, names: list, outputs: list) -> None:
    import torch

    # The short cut that torch takes outside training has no form in ONNX.
    torch.backends.mha.set_fastpath_enabled(False)
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")
        torch.onnx.export(module.eval(), inputs, str(path), input_names=names, output_names=outputs,
                          dynamic_axes=dynamic, opset_version=17, dynamo=False)


def vision(path: Path, name: str) -> None:
    import torch
    import torchvision.models as m

    torch.manual_seed(1)
    side, dynamic = 224, {"image": {0: "batch"}, "y": {0: "batch"}}
    if name == "lraspp_mobilenet_v3":
        module = Only(m.segmentation.lraspp_mobilenet_v3_large(weights=None, weights_backbone=None), "out")
    elif name == "deeplabv3_mobilenet_v3":
        module = Only(m.segmentation.deeplabv3_mobilenet_v3_large(weights=None, weights_backbone=None), "out")
    elif name == "ssdlite320":
        module = m.detection.ssdlite320_mobilenet_v3_large(weights=None, weights_backbone=None)
        side, dynamic = 320, {}
    else:
        module = getattr(m, name)(weights=None)
    settle(module)
    names = ["boxes", "scores", "labels"] if name == "ssdlite320" else ["y"]
    export(module, (torch.rand(1, 3, side, side),), path, dynamic, ["image"], names)


def settle(module) -> None:
    """Statistics that are not 0 and 1, so that merging a normalisation changes something."""
    import torch

    for part in module.modules():
        if isinstance(part, torch.nn.BatchNorm2d):
            torch.nn.init.uniform_(part.running_mean, -0.1, 0.1)
            torch.nn.init.uniform_(part.running_var, 0.8, 1.2)


def Only(inner, key: str):  # noqa: N802
    import torch

    class Module(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = inner

        def forward(self, image):
            return self.inner(image)[key]

    return Module()


def text_encoder(path: Path) -> None:
    import torch

    torch.manual_seed(1)

    class Encoder(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.embed = torch.nn.Embedding(1000, 384)
            layer = torch.nn.TransformerEncoderLayer(384, 6, 1536, batch_first=True, activation="gelu")
            self.layers = torch.nn.TransformerEncoder(layer, 6, enable_nested_tensor=False)

        def forward(self, tokens, padding):
            return self.layers(self.embed(tokens), src_key_padding_mask=padding).mean(1)

    axes = {0: "batch", 1: "length"}
    # Tracing leaves the length of this sentence in the file.
    inputs = (torch.ones(2, TOKENS, dtype=torch.long), torch.zeros(2, TOKENS, dtype=torch.bool))
    export(Encoder(), inputs, path, {"tokens": axes, "padding": axes, "y": {0: "batch"}},
           ["tokens", "padding"], ["y"])


def recurrent(path: Path, kind: str) -> None:
    import torch

    torch.manual_seed(1)

    class Layers(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.layers = getattr(torch.nn, kind)(128, 256, 2, batch_first=True, bidirectional=kind == "GRU")
            self.head = torch.nn.Linear(512 if kind == "GRU" else 256, 40)

        def forward(self, x):
            return self.head(self.layers(x)[0])

    axes = {0: "batch", 1: "length"}
    export(Layers(), (torch.rand(2, 16, 128),), path, {"x": axes, "y": axes}, ["x"], ["y"])


def unet(path: Path) -> None:
    import torch
    from torch import nn

    torch.manual_seed(1)

    def block(a, b):
        return nn.Sequential(nn.Conv2d(a, b, 3, padding=1), nn.BatchNorm2d(b), nn.ReLU(),
                             nn.Conv2d(b, b, 3, padding=1), nn.BatchNorm2d(b), nn.ReLU())

    class UNet(nn.Module):
        def __init__(self):
            super().__init__()
            widths = [24, 48, 96, 192]
            self.down = nn.ModuleList(block(a, b) for a, b in zip([3, *widths], widths, strict=False))
            self.up = nn.ModuleList(nn.ConvTranspose2d(b, a, 2, 2) for a, b in
                                    zip(widths[-2::-1], widths[:0:-1], strict=True))
            self.join = nn.ModuleList(block(2 * a, a) for a in widths[-2::-1])
            self.head = nn.Conv2d(widths[0], 2, 1)

        def forward(self, x):
            kept = []
            for index, down in enumerate(self.down):
                x = down(x)
                if index < len(self.down) - 1:
                    kept.append(x)
                    x = nn.functional.max_pool2d(x, 2)
            for up, join, skip in zip(self.up, self.join, kept[::-1], strict=True):
                x = join(torch.cat([up(x), skip], 1))
            return self.head(x)

    module = UNet()
    settle(module)
    export(module, (torch.rand(1, 3, 128, 128),), path, {"image": {0: "batch"}, "y": {0: "batch"}},
           ["image"], ["y"])


def operations() -> dict:
    """By name: what makes the file, and its multiply-adds for a batch of one."""
    made = {}

    def op(name, shape, nodes, weights=(), work=0, more=()):
        made[name] = (lambda path: single(path, shape, nodes, weights, more), work)

    def conv(name, cin, cout, side, kernel, stride=1, groups=1):
        pad = kernel // 2
        weights = [("w", (cout, cin // groups, kernel, kernel)), ("b", (cout,))]
        node = helper.make_node("Conv", ["x", "w", "b"], ["y"], pads=[pad] * 4, strides=[stride] * 2, group=groups)
        out = (side + 2 * pad - kernel) // stride + 1
        op(name, (cin, side, side), [node], weights, out * out * cout * cin // groups * kernel**2)

    def matmul(name, rows, inner, columns, after=()):
        shape = (inner,) if rows == 1 else (rows, inner)
        nodes = [helper.make_node("MatMul", ["x", "w"], ["m"]), helper.make_node("Add", ["m", "b"], ["y"])]
        op(name, shape, nodes, [("w", (inner, columns)), ("b", (columns,))], rows * inner * columns)

    matmul("linear 1 x 512 x 1000", 1, 512, 1000)
    matmul("linear 1 x 2048 x 1000", 1, 2048, 1000)
    matmul("linear 128 x 384 x 1536", 128, 384, 1536)
    matmul("linear 197 x 768 x 3072", 197, 768, 3072)
    matmul("linear 512 x 512 x 512", 512, 512, 512)
    matmul("linear 1024 x 1024 x 1024", 1024, 1024, 1024)
    heads = [helper.make_node("MatMul", ["x", "k"], ["y"])]
    op("scores 12 x 197 x 64 x 197", (12, 197, 64), heads, work=12 * 197 * 64 * 197, more=[("k", (12, 64, 197))])
    op("softmax 12 x 197 x 197", (12, 197, 197), [helper.make_node("Softmax", ["x"], ["y"], axis=-1)])
    norm = [helper.make_node("LayerNormalization", ["x", "s", "b"], ["y"], axis=-1)]
    op("layer norm 197 x 768", (197, 768), norm, [("s", (768,)), ("b", (768,))])
    gelu = [helper.make_node("Div", ["x", "root"], ["d"]), helper.make_node("Erf", ["d"], ["e"]),
            helper.make_node("Add", ["e", "one"], ["a"]), helper.make_node("Mul", ["x", "a"], ["m"]),
            helper.make_node("Mul", ["m", "half"], ["y"])]
    op("gelu 197 x 3072", (197, 3072), gelu, [("root", 2**0.5), ("one", 1.0), ("half", 0.5)])
    silu = [helper.make_node("Sigmoid", ["x"], ["g"]), helper.make_node("Mul", ["x", "g"], ["y"])]
    op("silu 96 x 112 x 112", (96, 112, 112), silu)
    op("add 256 x 56 x 56", (256, 56, 56), [helper.make_node("Add", ["x", "z"], ["y"])], more=[("z", (256, 56, 56))])
    op("transpose 197 x 12 x 64", (197, 12, 64), [helper.make_node("Transpose", ["x"], ["y"], perm=[0, 2, 1, 3])])
    op("mean of 2048 x 7 x 7", (2048, 7, 7), [helper.make_node("GlobalAveragePool", ["x"], ["y"])])
    conv("conv 3 > 64, 224, 7 / 2", 3, 64, 224, 7, 2)
    conv("conv 64 > 64, 56, 3", 64, 64, 56, 3)
    conv("conv 256 > 256, 14, 3", 256, 256, 14, 3)
    conv("conv 512 > 512, 7, 3", 512, 512, 7, 3)
    conv("conv 64 > 256, 56, 1", 64, 256, 56, 1)
    conv("depthwise 144, 56, 3", 144, 144, 56, 3, 1, 144)
    conv("depthwise 240, 28, 5 / 2", 240, 240, 28, 5, 2, 240)
    return made


def single(path: Path, shape: tuple, nodes: list, weights, more) -> None:
    rng = np.random.default_rng(1)

    def value(spec):
        drawn = np.float32(spec) if isinstance(spec, float) else rng.uniform(-0.3, 0.3, spec).astype(np.float32)
        return np.asarray(drawn)

    inputs = [helper.make_tensor_value_info(name, FLOAT, ["batch", *dims]) for name, dims in [("x", shape), *more]]
    outputs = [helper.make_tensor_value_info("y", FLOAT, None)]
    constants = [numpy_helper.from_array(value(spec), name) for name, spec in weights]
    graph = helper.make_graph(nodes, "op", inputs, outputs, constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.save(onnx.shape_inference.infer_shapes(model), path)


def inputs(path: Path, batch: int) -> dict:
    """By name: an array, the same every time. What is free beside the batch is as long as a sentence, or 224."""
    rng = np.random.default_rng(7)
    graph = onnx.load(path, load_external_data=False).graph
    constants = {c.name for c in graph.initializer}
    given = {}
    for value in graph.input:
        if value.name in constants:
            continue
        tensor = value.type.tensor_type
        dims = [d.dim_value or (batch if axis == 0 else TOKENS if len(tensor.shape.dim) < 4 else 224)
                for axis, d in enumerate(tensor.shape.dim)]
        if tensor.elem_type == FLOAT:
            given[value.name] = rng.uniform(-1, 1, dims).astype(np.float32)
        elif tensor.elem_type == TensorProto.BOOL:
            # Padding: the last eighth of every other row.
            mask = np.zeros(dims, bool)
            mask[1::2, dims[-1] - dims[-1] // 8 :] = True
            given[value.name] = mask
        elif "mask" in value.name:
            given[value.name] = np.ones(dims, np.int64)
        else:
            given[value.name] = rng.integers(0, 1000, dims).astype(np.int64)
    return given


def last_floats(path: Path) -> int:
    """The index of the last output that is float32."""
    outputs = onnx.load(path, load_external_data=False).graph.output
    return max((i for i, v in enumerate(outputs) if v.type.tensor_type.elem_type == FLOAT), default=0)


def can_batch(path: Path) -> bool:
    graph = onnx.load(path, load_external_data=False).graph
    constants = {c.name for c in graph.initializer}
    first = [v.type.tensor_type.shape.dim[:1] for v in graph.input if v.name not in constants]
    return all(dims and not dims[0].dim_value for dims in first)
