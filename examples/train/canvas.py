"""What both kinds of scene are drawn with: noise, curves, stamped objects, light and a camera.

Everything is float32 RGB in 0..1, and every length is a fraction of the image's short side, so a
scene looks alike at 96x96 and at 640x480. All randomness comes from the generator passed in.
"""

import io
import math
from dataclasses import dataclass, field

import numpy as np
from PIL import Image, ImageDraw, ImageFilter


def generator(seed: int, index: int) -> np.random.Generator:
    """The generator of scene `index` of the series `seed`; every scene can be drawn by itself."""
    return np.random.default_rng([seed, index])


def random_size(rng: np.random.Generator, largest: int = 640) -> tuple[int, int]:
    """Width and height: long side 96 to `largest`, mostly small; landscape, portrait or square."""
    if rng.random() < 0.06:
        long_side = rng.integers(320, largest + 1)
    else:
        long_side = round(96 * math.exp(rng.uniform(0, math.log(320 / 96))))
    ratio = 1.0 if rng.random() < 0.25 else rng.uniform(0.55, 1.0)
    short_side = max(80, round(long_side * ratio))
    if rng.random() < 0.65:
        return int(long_side), int(short_side)
    return int(short_side), int(long_side)


def noise(rng, h: int, w: int, cell: float) -> np.ndarray:
    """Smooth noise of about unit deviation, its features `cell` pixels wide."""
    cell = max(1.0, cell)
    grid = rng.standard_normal((math.ceil(h / cell) + 2, math.ceil(w / cell) + 2), dtype=np.float32)
    if cell == 1.0:
        return grid[:h, :w]
    return np.asarray(Image.fromarray(grid).resize((w, h), Image.Resampling.BICUBIC)) * 1.3


def fractal(rng, h: int, w: int, cell: float, octaves: int = 3, gain: float = 0.55) -> np.ndarray:
    """Octaves of noise from `cell` downwards, brought to zero mean and unit deviation."""
    total = np.zeros((h, w), np.float32)
    weight = 1.0
    for _ in range(octaves):
        total += weight * noise(rng, h, w, cell)
        weight *= gain
        cell /= 2.1
        if cell < 1:
            break
    total -= total.mean()
    return total / (total.std() + 1e-6)


def smoothstep(x: np.ndarray) -> np.ndarray:
    x = np.clip(x, 0, 1)
    return x * x * (3 - 2 * x)


def mix(below: np.ndarray, above, alpha: np.ndarray) -> np.ndarray:
    """`above` (an image or a colour) laid over `below` with `alpha` [h, w]."""
    return below + (np.asarray(above, np.float32) - below) * alpha[..., None]


def blurred(plane: np.ndarray, radius: float) -> np.ndarray:
    """A plane of 0..1 through a Gaussian."""
    picture = Image.fromarray((np.clip(plane, 0, 1) * 255).astype(np.uint8))
    return np.asarray(picture.filter(ImageFilter.GaussianBlur(radius)), np.float32) / 255


def bezier(points, count: int = 20) -> np.ndarray:
    """A Bezier curve of any degree as a polyline [count, 2]."""
    t = np.linspace(0, 1, count)[:, None, None]
    layer = np.asarray(points, float)[None].repeat(count, 0)
    while layer.shape[1] > 1:
        layer = layer[:, :-1] * (1 - t) + layer[:, 1:] * t
    return layer[:, 0]


def crossing(rng, h: int, w: int) -> np.ndarray:
    """A curve that enters the image on one side and leaves it on another, in pixels (x, y)."""
    angle = rng.uniform(0, 2 * math.pi)
    centre = np.array([w * rng.uniform(0.22, 0.78), h * rng.uniform(0.22, 0.78)])
    reach = 1.5 * max(h, w)
    bend = rng.normal(0, 0.55)
    out = np.array([math.cos(angle), math.sin(angle)])
    back = np.array([math.cos(angle + math.pi + bend), math.sin(angle + math.pi + bend)])
    start, end = centre + out * reach, centre + back * reach
    wobble = rng.normal(0, 0.12, (2, 2)) * min(h, w)
    return bezier([start, centre + wobble[0], centre, centre + wobble[1], end], 24)


def along_curve(points: np.ndarray, h: int, w: int) -> tuple[np.ndarray, np.ndarray]:
    """For every pixel its signed distance to the polyline and how far along it lies, in short sides.

    Both are smooth near the curve, so they are computed on a coarse grid and enlarged.
    """
    side = min(h, w)
    step = max(1.0, side / 64)
    gh, gw = math.ceil(h / step), math.ceil(w / step)
    ys, xs = np.meshgrid((np.arange(gh) + 0.5) * h / gh, (np.arange(gw) + 0.5) * w / gw, indexing="ij")
    pixel = np.stack([xs.ravel(), ys.ravel()], -1).astype(np.float32)
    start = points[:-1].astype(np.float32)
    leg = (points[1:] - points[:-1]).astype(np.float32)
    length = np.hypot(leg[:, 0], leg[:, 1]) + 1e-6
    unit = leg / length[:, None]
    offset = pixel[None] - start[:, None]
    forward = np.clip(offset[..., 0] * unit[:, None, 0] + offset[..., 1] * unit[:, None, 1], 0, length[:, None])
    dx = offset[..., 0] - forward * unit[:, None, 0]
    dy = offset[..., 1] - forward * unit[:, None, 1]
    squared = dx * dx + dy * dy
    nearest = squared.argmin(0)
    columns = np.arange(len(pixel))
    distance = np.sqrt(squared[nearest, columns])
    side_of = np.sign(unit[nearest, 0] * dy[nearest, columns] - unit[nearest, 1] * dx[nearest, columns])
    begin = np.concatenate([[0], np.cumsum(length)[:-1]]).astype(np.float32)
    lateral = (distance * side_of).reshape(gh, gw).astype(np.float32)
    along = (begin[nearest] + forward[nearest, columns]).reshape(gh, gw).astype(np.float32)
    enlarge = lambda plane: np.asarray(Image.fromarray(plane / side).resize((w, h), Image.Resampling.BILINEAR))
    return enlarge(lateral), enlarge(along)


@dataclass
class Stamps:
    """Objects drawn as flat shapes: their colours, where they are, and the shadows they cast."""

    h: int
    w: int
    sun: float  # direction that shadows fall in
    colour: Image.Image = field(init=False)
    mask: Image.Image = field(init=False)
    shadow: Image.Image = field(init=False)

    def __post_init__(self):
        self.colour = Image.new("RGB", (self.w, self.h))
        self.mask = Image.new("L", (self.w, self.h))
        self.shadow = Image.new("L", (self.w, self.h))
        self._pens = [ImageDraw.Draw(image) for image in (self.colour, self.mask, self.shadow)]

    def polygon(self, points, colour, height: float) -> None:
        """A shape with a shadow as long as `height` (short sides)."""
        colour_pen, mask_pen, shadow_pen = self._pens
        reach = height * min(self.h, self.w)
        shift = np.array([math.cos(self.sun), math.sin(self.sun)]) * reach
        points = np.asarray(points, float)
        for share in (0.25, 0.5, 0.75, 1.0):
            shadow_pen.polygon([tuple(p) for p in points + shift * share], fill=255)
        corners = [tuple(p) for p in points]
        colour_pen.polygon(corners, fill=tuple(int(255 * min(1, max(0, c))) for c in colour))
        mask_pen.polygon(corners, fill=255)

    def box(self, x, y, half_length, half_width, angle, colour, height) -> None:
        c, s = math.cos(angle), math.sin(angle)
        corners = [(1, 1), (1, -1), (-1, -1), (-1, 1)]
        self.polygon(
            [(x + a * half_length * c - b * half_width * s, y + a * half_length * s + b * half_width * c) for a, b in corners],
            colour,
            height,
        )

    def blob(self, rng, x, y, radius, colour, height) -> None:
        """A crown or a boulder: a rough circle with a lit side."""
        turns = np.linspace(0, 2 * math.pi, 13)[:-1]
        reach = radius * rng.uniform(0.8, 1.15, 12)
        ring = np.stack([x + reach * np.cos(turns), y + reach * np.sin(turns)], -1)
        self.polygon(ring, colour, height)
        lit = np.array([x, y]) - 0.25 * radius * np.array([math.cos(self.sun), math.sin(self.sun)])
        inner = [tuple(lit + (p - (x, y)) * 0.55) for p in ring]
        self._pens[0].polygon(inner, fill=tuple(int(255 * min(1, max(0, c * 1.25))) for c in colour))

    def lay_over(self, rng, image: np.ndarray, roughness: float, dark: float) -> np.ndarray:
        """The image with the shadows and the objects in it."""
        side = min(self.h, self.w)
        shadow = blurred(np.asarray(self.shadow, np.float32) / 255, max(0.5, side * 0.004))
        image = image * (1 - dark * shadow[..., None])
        colour = np.asarray(self.colour, np.float32) / 255
        colour = colour * (1 + roughness * noise(rng, self.h, self.w, 0.012 * side))[..., None]
        return mix(image, colour, blurred(np.asarray(self.mask, np.float32) / 255, 0.6))


def photograph(rng, image: np.ndarray) -> Image.Image:
    """Clouds' shadows, the colour of the light, exposure, haze, lens blur and sensor noise."""
    h, w = image.shape[:2]
    side = min(h, w)
    if rng.random() < 0.3:
        cloud = smoothstep(fractal(rng, h, w, 0.6 * side, 2) * 1.2 - rng.uniform(0, 0.8))
        image = image * (1 - rng.uniform(0.15, 0.5) * cloud)[..., None]
    if rng.random() < 0.5:
        slope = rng.normal(0, 0.12, 2)
        ramp = 1 + slope[0] * np.linspace(-1, 1, h)[:, None] + slope[1] * np.linspace(-1, 1, w)[None]
        image = image * ramp[..., None]
    light = rng.uniform(0.78, 1.18) * (1 + rng.normal(0, 1, 3) * [0.035, 0.015, 0.045])
    image = np.clip(image * light, 0, None) ** rng.uniform(0.85, 1.2)
    haze = rng.uniform(0, 0.22) if rng.random() < 0.35 else 0.0
    image = image * (1 - haze) + haze * np.array([0.78, 0.8, 0.84])
    if rng.random() < 0.8:
        image = image + rng.normal(0, 1, image.shape) * rng.uniform(0.003, 0.03)
    picture = Image.fromarray((np.clip(image, 0, 1) * 255 + 0.5).astype(np.uint8))
    if rng.random() < 0.55:
        picture = picture.filter(ImageFilter.GaussianBlur(rng.uniform(0.2, 1.0) * max(1.0, side / 160)))
    return picture


def through_jpeg(rng, picture: Image.Image) -> Image.Image:
    """The picture as a JPEG of random quality gives it back, or as it is (a PNG)."""
    if rng.random() < 0.25:
        return picture
    data = io.BytesIO()
    picture.save(data, "JPEG", quality=int(rng.integers(45, 96)))
    return Image.open(data).convert("RGB")
