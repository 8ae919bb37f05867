"""Road classification as the peers compute it: Pillow, NumPy and ONNX Runtime, one thread a session."""

import io
from pathlib import Path

import numpy as np
import onnxruntime as ort
from PIL import Image

MODELS = Path(__file__).resolve().parents[2] / "examples" / "models"
MEAN = np.array([0.485, 0.456, 0.406], dtype=np.float32)
STD = np.array([0.229, 0.224, 0.225], dtype=np.float32)


def session(model: str, version: int = 2) -> ort.InferenceSession:
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    path = MODELS / model / str(version) / "model.onnx"
    return ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])


class Road:
    def __init__(self) -> None:
        self.mask = session("road-mask")
        self.surface = session("surface")
        self.labels = (MODELS / "surface" / "2" / "labels.txt").read_text().split()

    def decode(self, body: bytes) -> np.ndarray:
        """A file to float32[3, 64, 64], as `pipelines/road.toml` says."""
        image = Image.open(io.BytesIO(body)).convert("RGB").resize((64, 64), Image.Resampling.BILINEAR)
        pixels = (np.asarray(image, dtype=np.float32) / 255.0 - MEAN) / STD
        return np.ascontiguousarray(pixels.transpose(2, 0, 1))

    def run(self, photos: np.ndarray) -> np.ndarray:
        """float32[N, 3, 64, 64] to the probabilities, float32[N, 5]."""
        (mask,) = self.mask.run(["mask"], {"image": photos})
        (probabilities,) = self.surface.run(["probabilities"], {"image": photos, "mask": mask})
        return probabilities

    def encode(self, probabilities: np.ndarray) -> dict:
        top = np.argsort(-probabilities)[:3]
        return {
            "surface": [
                {"label": self.labels[i], "index": int(i), "score": float(probabilities[i])} for i in top
            ]
        }
