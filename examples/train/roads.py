"""Road scenes from above: one or two roads of one surface through varied land.

The truth is the mask of the road's visible pixels and the surface.
"""

import math
from dataclasses import dataclass

import numpy as np
from PIL import Image

import canvas
from canvas import fractal, mix, noise, smoothstep

SURFACES = ("asphalt", "gravel", "dirt", "cobble", "snow")


@dataclass
class RoadScene:
    picture: Image.Image
    mask: Image.Image  # "L", 255 where road is seen
    surface: int  # index into SURFACES


def draw(rng, size=None, surface=None, furnish=None) -> RoadScene:
    """A scene; `furnish` is given the image and gives it back with more in it, before it is photographed."""
    w, h = size or canvas.random_size(rng)
    side = min(h, w)
    surface = int(rng.integers(len(SURFACES))) if surface is None else surface
    kind = SURFACES[surface]
    winter = rng.random() < (0.85 if kind == "snow" else 0.1)

    image = _land(rng, h, w, winter)
    if rng.random() < 0.12:
        image = _pond(rng, image, h, w)

    points = canvas.crossing(rng, h, w)
    half_width = 0.5 * math.exp(rng.uniform(math.log(0.09), math.log(0.42)))
    lateral, along = canvas.along_curve(points, h, w)
    width = np.full((h, w), half_width, np.float32)
    if rng.random() < 0.3:  # seen at a slant: nearer is wider
        width *= 1 + rng.uniform(0.1, 0.4) * np.linspace(-1, 1, h, dtype=np.float32)[:, None]
    ragged = {"asphalt": 0.02, "cobble": 0.03, "gravel": 0.09, "dirt": 0.16, "snow": 0.1}[kind]
    width *= 1 + ragged * fractal(rng, h, w, 0.12 * side, 2)
    road = smoothstep((width - np.abs(lateral)) * side / 1.6 + 0.5)
    shoulder = smoothstep((width * rng.uniform(1.15, 1.5) - np.abs(lateral)) / (0.35 * half_width))
    paint = _SURFACE[kind](rng, h, w, lateral, along, half_width)
    fields = [(lateral, half_width)]

    if rng.random() < 0.25:  # a second road of the same surface
        other = canvas.crossing(rng, h, w)
        half = half_width * rng.uniform(0.5, 1.0)
        lateral2, along2 = canvas.along_curve(other, h, w)
        road2 = smoothstep((half * (1 + ragged * fractal(rng, h, w, 0.12 * side, 2)) - np.abs(lateral2)) * side / 1.6 + 0.5)
        paint = mix(_SURFACE[kind](rng, h, w, lateral2, along2, half), paint, road)
        road = np.maximum(road, road2)
        fields.append((lateral2, half))

    verge = rng.uniform(0, 0.7) * shoulder * (1 - road)
    verge_colour = np.array([0.86, 0.88, 0.92]) if winter else image.mean((0, 1)) * rng.uniform(0.8, 1.25, 3)
    image = mix(image, verge_colour, verge * (0.7 + 0.3 * np.clip(noise(rng, h, w, 0.03 * side), -1, 1)))
    image = mix(image, paint, road)

    stamps = canvas.Stamps(h, w, rng.uniform(0, 2 * math.pi))
    over = canvas.Stamps(h, w, stamps.sun)
    _objects(rng, stamps, over, fields, winter)
    dark = rng.uniform(0.25, 0.6)
    image = over.lay_over(rng, image, 0.06, dark)
    image = stamps.lay_over(rng, image, 0.14, dark)

    if furnish is not None:
        image = furnish(image)

    seen = (road > 0.5) & (np.asarray(stamps.mask) == 0)
    return RoadScene(canvas.photograph(rng, image), Image.fromarray(seen.astype(np.uint8) * 255), surface)


# --- the land around the road

_LAND = {
    # colour, its spread, strength of coarse and of fine texture
    "grass": ((0.32, 0.43, 0.20), 0.05, 0.035, 0.03),
    "meadow": ((0.45, 0.50, 0.26), 0.05, 0.05, 0.035),
    "dry": ((0.58, 0.52, 0.34), 0.05, 0.04, 0.03),
    "forest": ((0.17, 0.26, 0.13), 0.04, 0.05, 0.07),
    "soil": ((0.42, 0.32, 0.23), 0.05, 0.03, 0.03),
    "sand": ((0.72, 0.64, 0.48), 0.05, 0.03, 0.02),
    "rock": ((0.47, 0.45, 0.42), 0.05, 0.06, 0.06),
    "paving": ((0.55, 0.54, 0.52), 0.06, 0.02, 0.02),
    "snowfield": ((0.87, 0.89, 0.93), 0.03, 0.03, 0.012),
}
_SUMMER = (("grass", "meadow", "dry", "forest", "soil", "sand", "rock", "paving"), (0.26, 0.18, 0.13, 0.19, 0.1, 0.05, 0.05, 0.04))
_WINTER = (("snowfield", "forest", "dry", "rock"), (0.72, 0.14, 0.07, 0.07))


def _cover(rng, h, w, name):
    side = min(h, w)
    colour, spread, coarse, fine = _LAND[name]
    colour = np.array(colour) + rng.normal(0, spread * 0.5) + rng.normal(0, spread * 0.4, 3)
    tone = coarse * fractal(rng, h, w, 0.2 * side, 3) + fine * noise(rng, h, w, 0.013 * side)
    if name in ("soil", "grass", "dry", "meadow") and rng.random() < 0.3:  # a ploughed or mown field
        angle, period = rng.uniform(0, math.pi), rng.uniform(0.035, 0.09) * side
        ys, xs = np.mgrid[0:h, 0:w].astype(np.float32)
        tone = tone + rng.uniform(0.02, 0.06) * np.sin((xs * math.cos(angle) + ys * math.sin(angle)) * 2 * math.pi / period)
    hue = rng.normal(0, 0.012, 3)
    return (colour + tone[..., None] + fractal(rng, h, w, 0.3 * side, 2)[..., None] * hue).astype(np.float32)


def _land(rng, h, w, winter):
    names, odds = _WINTER if winter else _SUMMER
    side = min(h, w)
    image = _cover(rng, h, w, rng.choice(names, p=odds))
    for _ in range(int(rng.integers(0, 3))):
        above = _cover(rng, h, w, rng.choice(names, p=odds))
        if rng.random() < 0.5:  # patches
            alpha = smoothstep(fractal(rng, h, w, 0.35 * side, 3) * 2.5 - rng.uniform(-1, 1.5))
        else:  # a straight border
            angle = rng.uniform(0, 2 * math.pi)
            ys, xs = np.mgrid[0:h, 0:w].astype(np.float32)
            across = (xs - w * rng.uniform(0.2, 0.8)) * math.cos(angle) + (ys - h * rng.uniform(0.2, 0.8)) * math.sin(angle)
            alpha = smoothstep(across / 3 + 0.5)
        image = mix(image, above, alpha)
    return image


def _pond(rng, image, h, w):
    side = min(h, w)
    water = np.array(((0.12, 0.22, 0.28), (0.2, 0.27, 0.22), (0.3, 0.28, 0.2))[rng.integers(3)]) + rng.normal(0, 0.02, 3)
    alpha = smoothstep(fractal(rng, h, w, 0.6 * side, 2) * 6 - 5)
    return mix(image, water, alpha)


def _objects(rng, stamps, on_road, fields, winter):
    """Trees and buildings beside the road (crowns may hang over it), cars on it."""
    h, w = stamps.h, stamps.w
    side = min(h, w)
    clear = lambda x, y: min(abs(l[min(h - 1, int(y)), min(w - 1, int(x))]) - half for l, half in fields)
    trees = int(rng.integers(5, 28)) if rng.random() < 0.55 else int(rng.integers(0, 5))
    leaf = np.array((0.16, 0.28, 0.12)) + rng.normal(0, 0.04, 3)
    for _ in range(trees):
        x, y, radius = rng.uniform(0, w), rng.uniform(0, h), rng.uniform(0.02, 0.07)
        if clear(x, y) < radius * rng.uniform(0.2, 1.0):
            continue
        colour = leaf + rng.normal(0, 0.025, 3) + (0.35 if winter and rng.random() < 0.4 else 0)
        stamps.blob(rng, x, y, radius * side, colour, rng.uniform(0.02, 0.06))
    if rng.random() < 0.35:
        angle = rng.uniform(0, math.pi)
        for _ in range(int(rng.integers(1, 9))):
            x, y = rng.uniform(0, w), rng.uniform(0, h)
            a, b = rng.uniform(0.04, 0.13), rng.uniform(0.03, 0.08)
            if clear(x, y) < max(a, b) * 1.3:
                continue
            roofs = ((0.5, 0.28, 0.22), (0.4, 0.4, 0.42), (0.6, 0.57, 0.53), (0.28, 0.28, 0.3), (0.75, 0.74, 0.72))
            colour = np.array((0.88, 0.9, 0.93) if winter and rng.random() < 0.6 else roofs[rng.integers(5)]) + rng.normal(0, 0.03, 3)
            stamps.box(x, y, a * side, b * side, angle + rng.normal(0, 0.05), colour, rng.uniform(0.02, 0.07))
    if rng.random() < 0.35:
        lateral, half = fields[0]
        for _ in range(int(rng.integers(1, 4))):
            x, y = rng.integers(2, w - 2), rng.integers(2, h - 2)
            if abs(lateral[y, x]) > half * 0.7:
                continue
            angle = math.atan2(lateral[min(h - 1, y + 2), x] - lateral[y - 2, x], lateral[y, min(w - 1, x + 2)] - lateral[y, x - 2])
            length = min(half * 0.6, 0.05)
            colour = rng.uniform(0.1, 0.9, 3) if rng.random() < 0.4 else np.full(3, rng.uniform(0.1, 0.9))
            on_road.box(x, y, length * side, length * 0.5 * side, angle + math.pi / 2, colour, 0.012)


# --- the surfaces; each paints the whole image, `u` is -1..1 across the road


def _ruts(u, at, wide):
    return np.exp(-(((np.abs(u) - at) / wide) ** 2))


def _grassy_middle(rng, paint, u, h, w, side):
    strip = np.exp(-((u / rng.uniform(0.12, 0.25)) ** 2)) * smoothstep(noise(rng, h, w, 0.05 * side) * 0.5 + 0.7)
    return mix(paint, np.array((0.36, 0.42, 0.22)) + rng.normal(0, 0.04, 3), strip * rng.uniform(0.4, 0.9))


def _asphalt(rng, h, w, lateral, along, half_width):
    side, u = min(h, w), lateral / half_width
    grey = rng.uniform(0.17, 0.5)
    tone = grey + 0.018 * noise(rng, h, w, 1) + 0.02 * fractal(rng, h, w, 0.25 * side)
    tone -= rng.uniform(0, 0.05) * _ruts(u, 0.5, 0.2)
    if rng.random() < 0.3:  # patches
        tone = tone * (1 - rng.uniform(0.1, 0.25) * smoothstep(noise(rng, h, w, 0.15 * side) * 8 - 11))
    if rng.random() < 0.4:  # cracks
        tone = tone * (1 - 0.35 * (np.abs(fractal(rng, h, w, 0.15 * side)) < 0.03))
    paint = tone[..., None] * (1 + np.array([-1, 0, 1]) * rng.normal(0.01, 0.02))
    if rng.random() < 0.6:  # markings
        line = max(0.012, half_width * 0.07)
        white = np.array((0.92, 0.92, 0.9) if rng.random() < 0.75 else (0.88, 0.72, 0.2))
        period = rng.uniform(0.12, 0.3)
        dash = (along % period) < period * rng.uniform(0.4, 0.7) if rng.random() < 0.75 else np.ones_like(u, bool)
        alpha = ((np.abs(lateral) < line / 2) & dash).astype(np.float32)
        if rng.random() < 0.5:
            alpha = np.maximum(alpha, np.abs(np.abs(u) - 0.88) * half_width < line / 2)
        paint = mix(paint, white, alpha * rng.uniform(0.5, 0.95))
    return paint


def _gravel(rng, h, w, lateral, along, half_width):
    side, u = min(h, w), lateral / half_width
    grey, warm = rng.uniform(0.44, 0.7), rng.uniform(0.01, 0.07)
    tone = rng.uniform(0.05, 0.1) * noise(rng, h, w, 0.012 * side) + rng.uniform(0.02, 0.07) * noise(rng, h, w, 0.03 * side)
    tone += 0.02 * fractal(rng, h, w, 0.2 * side) + rng.uniform(0, 0.07) * _ruts(u, 0.5, 0.18)
    paint = np.array([grey + warm * 0.7, grey, grey - warm]) + tone[..., None]
    return _grassy_middle(rng, paint, u, h, w, side) if rng.random() < 0.2 else paint


def _dirt(rng, h, w, lateral, along, half_width):
    side, u = min(h, w), lateral / half_width
    bright, warm = rng.uniform(0.32, 0.58), rng.uniform(0.16, 0.34)
    colour = bright * np.array([1 + warm * 0.6, 1 - warm * 0.1, 1 - warm])
    tone = 0.045 * fractal(rng, h, w, 0.15 * side, 4) + 0.015 * noise(rng, h, w, 1)
    tone += rng.uniform(-0.1, 0.06) * _ruts(u, 0.48, 0.16)
    paint = colour * (1 + 1.8 * tone)[..., None]
    if rng.random() < 0.25:  # puddles
        paint = mix(paint, (0.36, 0.36, 0.36), smoothstep(noise(rng, h, w, 0.08 * side) * 6 - 7) * 0.8)
    return _grassy_middle(rng, paint, u, h, w, side) if rng.random() < 0.35 else paint


def _cobble(rng, h, w, lateral, along, half_width):
    side = min(h, w)
    stone = max(rng.uniform(0.04, 0.075), 2.5 / side)
    a, b = along / (stone * rng.uniform(1.0, 1.5)), lateral / stone
    row = np.floor(b)
    a = a + 0.5 * (row % 2)
    column = np.floor(a)
    table = rng.standard_normal((64, 64)).astype(np.float32)
    tone = rng.uniform(0.05, 0.1) * table[row.astype(int) % 64, column.astype(int) % 64]
    near = np.minimum(np.minimum(a - column, 1 - a + column), np.minimum(b - row, 1 - b + row))
    joint = smoothstep(1 - near / rng.uniform(0.14, 0.24))
    base = np.array(((0.46, 0.45, 0.44), (0.5, 0.44, 0.38), (0.52, 0.38, 0.33), (0.38, 0.39, 0.42))[rng.integers(4)])
    base = base * rng.uniform(0.85, 1.2) + rng.normal(0, 0.012, 3)
    paint = base * (1 + 1.6 * tone + 0.03 * noise(rng, h, w, 1))[..., None]
    return mix(paint, base * rng.uniform(0.35, 0.6), joint * rng.uniform(0.6, 0.95))


def _snow(rng, h, w, lateral, along, half_width):
    side, u = min(h, w), lateral / half_width
    white = rng.uniform(0.7, 0.9)
    tone = 0.02 * fractal(rng, h, w, 0.2 * side) + 0.01 * noise(rng, h, w, 1)
    broken = 0.6 + 0.4 * np.clip(noise(rng, h, w, 0.08 * side), -1, 1)
    tone -= rng.uniform(0.05, 0.22) * _ruts(u, rng.uniform(0.38, 0.52), rng.uniform(0.08, 0.16)) * broken
    tone -= rng.uniform(0.0, 0.12) * smoothstep((np.abs(u) - 0.85) / 0.15)
    return np.array([white - 0.02, white, white + rng.uniform(0.0, 0.05)]) + tone[..., None]


_SURFACE = {"asphalt": _asphalt, "gravel": _gravel, "dirt": _dirt, "cobble": _cobble, "snow": _snow}
