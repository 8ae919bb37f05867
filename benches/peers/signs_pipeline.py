"""Signs found, cut out and read as the peers compute it: Pillow, NumPy and ONNX Runtime, one thread a session."""

import io

import numpy as np
from PIL import Image, ImageOps
from pipeline import MEAN, MODELS, STD, session

SIDE, CUT, THRESHOLD, IOU, TOP, GROW = 160, 32, 0.3, 0.5, 50, 0.1


def planes(image: Image.Image) -> np.ndarray:
    pixels = (np.asarray(image, dtype=np.float32) / 255.0 - MEAN) / STD
    return np.ascontiguousarray(pixels.transpose(2, 0, 1))


def suppressed(boxes: np.ndarray) -> list[int]:
    """The rows that are kept of boxes that are sorted, best first."""
    low = np.maximum(boxes[:, None, :2], boxes[None, :, :2])
    high = np.minimum(boxes[:, None, 2:], boxes[None, :, 2:])
    shared = np.clip(high - low, 0, None).prod(-1)
    area = (boxes[:, 2:] - boxes[:, :2]).prod(-1)
    meet = shared / np.maximum(area[:, None] + area[None] - shared, 1e-9) > IOU
    gone, kept = np.zeros(len(boxes), bool), []
    for row in range(len(boxes)):
        if not gone[row]:
            kept.append(row)
            gone |= meet[row]
    return kept


class Signs:
    def __init__(self) -> None:
        self.detector = session("sign-detector", 1)
        self.reader = session("sign-reader", 1)
        self.labels = (MODELS / "sign-reader" / "1" / "labels.txt").read_text().split()

    def found(self, photo: Image.Image) -> tuple[np.ndarray, np.ndarray]:
        """Boxes [n, 4] in pixels of the photo, and their scores; as benches/peers/steps.toml says."""
        scale = min(SIDE / photo.width, SIDE / photo.height)
        size = np.round([photo.width * scale, photo.height * scale])
        left, top = np.round((SIDE - size) / 2)
        square = ImageOps.pad(photo, (SIDE, SIDE), Image.Resampling.BILINEAR)
        (said,) = self.detector.run(["boxes"], {"image": planes(square)[None]})
        rows = said[0].T
        rows = rows[rows[:, 4] >= THRESHOLD]
        rows = rows[np.argsort(-rows[:, 4], kind="stable")]
        half = rows[:, 2:4] / 2
        boxes = np.concatenate([rows[:, :2] - half, rows[:, :2] + half], 1)
        kept = suppressed(boxes)[:TOP]
        boxes = (boxes[kept] - [left, top, left, top]) / np.tile(size / photo.size, 2)
        return np.clip(boxes, 0, [*photo.size, *photo.size]), rows[kept, 4]

    def cut(self, photo: Image.Image, box: np.ndarray) -> np.ndarray:
        x0, y0, x1, y1 = box
        dx, dy = (x1 - x0) * GROW, (y1 - y0) * GROW
        left, top = max(0, round(x0 - dx)), max(0, round(y0 - dy))
        right, bottom = min(photo.width, round(x1 + dx)), min(photo.height, round(y1 + dy))
        return planes(photo.crop((left, top, right, bottom)).resize((CUT, CUT), Image.Resampling.BILINEAR))

    def read(self, crops: np.ndarray) -> np.ndarray:
        (probabilities,) = self.reader.run(["probabilities"], {"image": crops})
        return probabilities

    def answer(self, body: bytes, together: bool) -> dict:
        """All crops in one batch, or each by itself, as a loop that calls the two models has it."""
        photo = Image.open(io.BytesIO(body)).convert("RGB")
        boxes, _ = self.found(photo)
        crops = [self.cut(photo, box) for box in boxes]
        if together:
            read = self.read(np.stack(crops)) if crops else []
        else:
            read = [self.read(crop[None])[0] for crop in crops]
        signs = [
            {"kind": self.labels[int(row.argmax())], "sure": float(row.max()), "box": [float(v) for v in box]}
            for row, box in zip(read, boxes, strict=True)
        ]
        return {"signs": signs}
