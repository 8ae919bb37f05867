"""From what the detector says to boxes, and how good they are: plain NumPy, as the reference of rserve's `boxes`."""

import numpy as np

THRESHOLD, IOU = 0.5, 0.5  # as pipelines/road-signs.toml has them


def ious(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """IoU [n, m] of boxes [n, 4] and [m, 4]."""
    low, high = np.maximum(a[:, None, :2], b[None, :, :2]), np.minimum(a[:, None, 2:], b[None, :, 2:])
    shared = np.clip(high - low, 0, None).prod(-1)
    area = lambda box: (box[:, 2:] - box[:, :2]).prod(-1)
    return shared / np.maximum(area(a)[:, None] + area(b)[None] - shared, 1e-9)


def found(said: np.ndarray, threshold: float = THRESHOLD, iou: float = IOU) -> tuple[np.ndarray, np.ndarray]:
    """[5, 400] of one picture to boxes [n, 4] in pixels of the network's square and their scores, best first."""
    rows = said.T[said[4] >= threshold]
    rows = rows[np.argsort(-rows[:, 4], kind="stable")]
    half = rows[:, 2:4] / 2
    boxes, kept = np.concatenate([rows[:, :2] - half, rows[:, :2] + half], 1), []
    meet = ious(boxes, boxes)
    for k in range(len(boxes)):
        if not any(meet[k, other] > iou for other in kept):
            kept.append(k)
    return boxes[kept], rows[kept, 4]


def average_precision(said: list[tuple[np.ndarray, np.ndarray]], truth: list[np.ndarray], iou: float = 0.5) -> float:
    """The area under precision over recall, all points; a box is right that meets a true box not yet found."""
    hits, scores = [], []
    for (boxes, score), real in zip(said, truth):
        taken = np.zeros(len(real), bool)
        meet = ious(boxes, real) if len(real) else np.zeros((len(boxes), 0))
        for row, s in zip(meet, score):
            open_ = np.where(taken, -1.0, row)
            best = int(open_.argmax()) if len(real) else -1
            hit = best >= 0 and open_[best] >= iou
            if hit:
                taken[best] = True
            hits.append(hit)
            scores.append(s)
    order = np.argsort(-np.asarray(scores), kind="stable")
    hit = np.asarray(hits, bool)[order]
    recall = np.cumsum(hit) / max(1, sum(map(len, truth)))
    precision = np.cumsum(hit) / np.arange(1, len(hit) + 1)
    precision = np.maximum.accumulate(precision[::-1])[::-1]
    return float((np.diff(recall, prepend=0.0) * precision).sum())
