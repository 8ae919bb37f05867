"""Terrain scenes from above, for landing: each pixel is safe, rough, water or obstacle.

The best spot is the centre of the largest disc of safe ground that does not leave the image. It is
found on the safety map stretched to the network's square, so a radius is in sides of that square.
"""

import math
from dataclasses import dataclass

import numpy as np
from PIL import Image

import canvas
from canvas import fractal, mix, noise, smoothstep

SAFETY = ("safe", "rough", "water", "obstacle")
SAFE, ROUGH, WATER, OBSTACLE = range(4)
SIDE = 96  # of the square that spots are found on
LEAST_RADIUS = 0.05  # a scene has at least so much room somewhere


@dataclass
class TerrainScene:
    picture: Image.Image
    safety: np.ndarray  # [SIDE, SIDE] uint8, index into SAFETY, of the stretched picture
    spot: tuple[float, float, float]  # x, y, radius


def draw(rng, size=None) -> TerrainScene:
    """Draws until a scene has room to land."""
    while True:
        picture, classes = _draw(rng, *(size or canvas.random_size(rng)))
        safety = stretched_classes(classes)
        spot = best_spot(safety)
        if spot[2] >= LEAST_RADIUS:
            return TerrainScene(picture, safety, spot)


def stretched_classes(classes: np.ndarray) -> np.ndarray:
    """A map of classes in the network's square: the class that covers most of each pixel."""
    planes = [
        np.asarray(Image.fromarray((classes == c).astype(np.uint8) * 255).resize((SIDE, SIDE), Image.Resampling.BILINEAR))
        for c in range(len(SAFETY))
    ]
    return np.argmax(planes, 0).astype(np.uint8)


def clearance(safety: np.ndarray) -> np.ndarray:
    """For every pixel the radius of the largest safe disc around it that stays in the image, in sides."""
    n = safety.shape[0]
    padded = np.ones((n + 2, n + 2), bool)  # beyond the border nothing is safe
    padded[1:-1, 1:-1] = safety != SAFE
    rows = np.arange(n + 2)
    # Distance up or down to the nearest unsafe pixel, then the least over all columns (exact).
    above = np.maximum.accumulate(np.where(padded, rows[:, None], -10 * n), 0)
    below = np.minimum.accumulate(np.where(padded, rows[:, None], 10 * n)[::-1], 0)[::-1]
    vertical = np.minimum(rows[:, None] - above, below - rows[:, None]).astype(np.float32) ** 2
    across = (rows[:, None] - rows[None]).astype(np.float32) ** 2
    squared = (vertical[:, None, :] + across[None]).min(-1)
    return np.maximum(np.sqrt(squared[1:-1, 1:-1]) - 0.5, 0) / n


def best_spot(safety: np.ndarray) -> tuple[float, float, float]:
    room = clearance(safety)
    best = room >= room.max() - 1e-6
    y, x = np.argwhere(best)[len(np.argwhere(best)) // 2]
    return (x + 0.5) / SIDE, (y + 0.5) / SIDE, float(room[y, x])


def _draw(rng, w, h):
    side = min(h, w)
    classes = np.zeros((h, w), np.uint8)
    image = _safe_ground(rng, h, w)

    for _ in range(int(rng.integers(0, 3))):
        above = _rough_ground(rng, h, w)
        level = fractal(rng, h, w, rng.uniform(0.3, 0.7) * side, 3) * 3 - rng.uniform(-0.6, 3.5)
        image = mix(image, above, smoothstep(level + 0.5))
        classes[level > 0] = ROUGH

    if rng.random() < 0.55:
        if rng.random() < 0.5:
            level = fractal(rng, h, w, rng.uniform(0.5, 1.0) * side, 2) * 0.15 * 8 - rng.uniform(0.2, 1.6)
        else:
            lateral, _ = canvas.along_curve(canvas.crossing(rng, h, w), h, w)
            level = (rng.uniform(0.03, 0.14) * (1 + 0.15 * fractal(rng, h, w, 0.3 * side, 2)) - np.abs(lateral)) * 20
        bank = mix(image, np.array((0.5, 0.45, 0.33)) * rng.uniform(0.7, 1.1), smoothstep(level * 4 + 1.2) * 0.7)
        image = mix(bank, _water(rng, h, w), smoothstep(level * 14 + 0.5))
        classes[level > 0] = WATER

    stamps = canvas.Stamps(h, w, rng.uniform(0, 2 * math.pi))
    _obstacles(rng, stamps)
    image = stamps.lay_over(rng, image, 0.09, rng.uniform(0.25, 0.6))
    classes[np.asarray(stamps.mask) > 0] = OBSTACLE
    return canvas.photograph(rng, image), classes


def _safe_ground(rng, h, w):
    """Mown grass, stubble, packed earth, sand or paving: even ground."""
    side = min(h, w)
    image = None
    for _ in range(int(rng.integers(1, 3))):
        base = ((0.36, 0.48, 0.24), (0.47, 0.53, 0.3), (0.6, 0.54, 0.36), (0.52, 0.42, 0.31), (0.74, 0.66, 0.5), (0.52, 0.52, 0.52))
        colour = np.array(base[rng.choice(6, p=(0.27, 0.23, 0.16, 0.12, 0.1, 0.12))]) * rng.uniform(0.85, 1.12) + rng.normal(0, 0.02, 3)
        tone = 0.03 * fractal(rng, h, w, 0.3 * side, 2) + 0.012 * noise(rng, h, w, 1)
        if rng.random() < 0.3:  # mown or sown in rows
            angle, period = rng.uniform(0, math.pi), rng.uniform(0.05, 0.12) * side
            ys, xs = np.mgrid[0:h, 0:w].astype(np.float32)
            tone = tone + 0.018 * np.sin((xs * math.cos(angle) + ys * math.sin(angle)) * 2 * math.pi / period)
        cover = (colour + tone[..., None]).astype(np.float32)
        image = cover if image is None else mix(image, cover, smoothstep(fractal(rng, h, w, 0.6 * side, 2) * 4))
    return image


def _rough_ground(rng, h, w):
    """Scrub, scree, ruts or tall growth: strongly textured, of much the same colours as safe ground."""
    side = min(h, w)
    base = ((0.24, 0.33, 0.16), (0.4, 0.42, 0.22), (0.5, 0.43, 0.3), (0.48, 0.46, 0.43), (0.36, 0.28, 0.2))
    colour = np.array(base[rng.integers(5)]) * rng.uniform(0.85, 1.15) + rng.normal(0, 0.02, 3)
    cell = rng.uniform(0.015, 0.045) * side
    tone = rng.uniform(0.13, 0.34) * np.clip(noise(rng, h, w, cell), -1.6, 1.6) + 0.1 * noise(rng, h, w, cell / 2)
    return (colour * (1 + tone)[..., None] + 0.03 * fractal(rng, h, w, 0.3 * side, 2)[..., None]).astype(np.float32)


def _water(rng, h, w):
    side = min(h, w)
    base = ((0.1, 0.2, 0.3), (0.14, 0.27, 0.3), (0.22, 0.28, 0.2), (0.32, 0.3, 0.22), (0.3, 0.42, 0.52))
    colour = np.array(base[rng.integers(5)]) * rng.uniform(0.8, 1.2) + rng.normal(0, 0.015, 3)
    tone = 0.012 * fractal(rng, h, w, 0.4 * side, 2)
    if rng.random() < 0.4:  # ripples
        tone = tone + 0.015 * noise(rng, h, w, 0.02 * side)
    if rng.random() < 0.25:  # the sky in it
        tone = tone + rng.uniform(0.05, 0.2) * smoothstep(fractal(rng, h, w, 0.5 * side, 2) - 0.6)
    return (colour + tone[..., None]).astype(np.float32)


def _obstacles(rng, stamps):
    h, w = stamps.h, stamps.w
    side = min(h, w)
    leaf = np.array((0.17, 0.28, 0.12)) + rng.normal(0, 0.04, 3)
    anchor = np.array([rng.uniform(0, w), rng.uniform(0, h)])
    clustered = rng.random() < 0.5
    for _ in range(int(rng.integers(0, 26)) if rng.random() < 0.75 else 0):
        x, y = anchor + rng.normal(0, 0.25, 2) * side if clustered else (rng.uniform(0, w), rng.uniform(0, h))
        stamps.blob(rng, x, y, rng.uniform(0.02, 0.075) * side, leaf + rng.normal(0, 0.025, 3), rng.uniform(0.03, 0.08))
    if rng.random() < 0.45:
        angle = rng.uniform(0, math.pi)
        for _ in range(int(rng.integers(1, 7))):
            roofs = ((0.52, 0.28, 0.22), (0.38, 0.38, 0.4), (0.62, 0.58, 0.53), (0.27, 0.27, 0.3), (0.78, 0.77, 0.75))
            colour = np.array(roofs[rng.integers(5)]) + rng.normal(0, 0.03, 3)
            stamps.box(
                rng.uniform(0, w), rng.uniform(0, h), rng.uniform(0.05, 0.15) * side, rng.uniform(0.04, 0.09) * side,
                angle + rng.normal(0, 0.05), colour, rng.uniform(0.03, 0.09),
            )  # fmt: skip
    if rng.random() < 0.3:
        for _ in range(int(rng.integers(1, 8))):
            colour = rng.uniform(0.1, 0.9, 3) if rng.random() < 0.5 else np.full(3, rng.uniform(0.1, 0.9))
            stamps.box(rng.uniform(0, w), rng.uniform(0, h), 0.035 * side, 0.017 * side, rng.uniform(0, math.pi), colour, 0.015)
    if rng.random() < 0.2:  # a wall or a hedge
        a, b = rng.uniform(0, 1, 2) * (w, h), rng.uniform(0, 1, 2) * (w, h)
        length = np.hypot(*(b - a)) / 2
        colour = leaf if rng.random() < 0.5 else np.full(3, rng.uniform(0.4, 0.7))
        stamps.box(*((a + b) / 2), length, max(1.2, 0.014 * side), math.atan2(*(b - a)[::-1]), colour, 0.03)
