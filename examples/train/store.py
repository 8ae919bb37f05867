"""The shipped models where they lie, and ONNX Runtime to run them. Needs no PyTorch."""

from functools import cache
from pathlib import Path

import numpy as np
import onnxruntime

EXAMPLES = Path(__file__).resolve().parent.parent
VERSIONS = {
    "road-mask": (1, 2),
    "surface": (1, 2),
    "surface-small": (1,),
    "landing-safety": (1, 2),
    "landing-spot": (1, 2),
    "sign-detector": (1,),
    "sign-reader": (1,),
}


def path(name: str, version: int) -> Path:
    return EXAMPLES / "models" / name / str(version) / "model.onnx"


def session(file: Path) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])


@cache
def _shipped(name: str, version: int) -> onnxruntime.InferenceSession:
    return session(path(name, version))


def run(name: str, version: int, chunk: int = 250, **inputs: np.ndarray) -> dict[str, np.ndarray]:
    """All outputs of a shipped model by name, computed `chunk` rows at a time."""
    model = _shipped(name, version)
    names = [output.name for output in model.get_outputs()]
    count = len(next(iter(inputs.values())))
    parts = [model.run(None, {k: v[i : i + chunk] for k, v in inputs.items()}) for i in range(0, count, chunk)]
    return {name: np.concatenate(column) for name, column in zip(names, zip(*parts))}
