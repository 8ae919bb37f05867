"""Road scenes with signs beside the road, as a drone that flies low sees them.

A scene is one of `roads` with boards standing in it. The truth is a box around each board, in pixels of the
picture, and the kind of sign; the backs of boards and plain hoardings stand there too, and are no signs.
"""

import math
from dataclasses import dataclass
from functools import cache

import numpy as np
from PIL import Image, ImageDraw, ImageFilter, ImageFont

import canvas
import roads

KINDS = ("stop", "give-way", "no-entry", "limit-30", "limit-50", "limit-80", "priority", "danger", "ahead", "parking")
RED, BLUE, YELLOW, WHITE, BLACK = (196, 26, 34), (20, 72, 168), (244, 190, 24), (240, 240, 236), (24, 24, 26)
SIDE = 192  # of a board as it is drawn, before it is made small


@dataclass
class SignScene:
    picture: Image.Image
    boxes: np.ndarray  # float32 [n, 4]: x0, y0, x1, y1
    kinds: np.ndarray  # int64 [n], index into KINDS
    surface: int  # index into roads.SURFACES


def random_size(rng) -> tuple[int, int]:
    """Width and height; the long side is 224 to 480."""
    long_side = round(224 * math.exp(rng.uniform(0, math.log(480 / 224))))
    short_side = round(long_side * rng.uniform(0.6, 1.0))
    return (long_side, short_side) if rng.random() < 0.7 else (short_side, long_side)


def draw(rng, size=None, surface=None, count=None) -> SignScene:
    """A scene with `count` signs, or a random number from none to seven."""
    found = []

    def stand(image):
        scene = Image.fromarray((np.clip(image, 0, 1) * 255 + 0.5).astype(np.uint8))
        wanted = int(rng.choice(8, p=(0.1, 0.24, 0.24, 0.17, 0.11, 0.07, 0.04, 0.03))) if count is None else count
        others = int(rng.integers(0, 3))
        order = rng.permutation(wanted + others)
        sun = rng.uniform(0, 2 * math.pi)
        taken = []
        for index in order:
            kind = int(rng.integers(len(KINDS))) if index < wanted else None
            placed = _placed(rng, scene, taken, kind, sun)
            if placed is not None and kind is not None:
                found.append((placed, kind))
        return np.asarray(scene, np.float32) / 255

    scene = roads.draw(rng, size or random_size(rng), surface, furnish=stand)
    boxes = np.array([box for box, _ in found], np.float32).reshape(-1, 4)
    return SignScene(scene.picture, boxes, np.array([kind for _, kind in found], np.int64), scene.surface)


def _placed(rng, scene, taken, kind, sun):
    """Stands one board (and its pole and shadow) where there is room; gives its box."""
    w, h = scene.size
    length = min(w, h) * math.exp(rng.uniform(math.log(0.075), math.log(0.26)))
    board = _seen(rng, _back(rng) if kind is None else face(kind), length)
    bw, bh = board.size
    for _ in range(12):
        x, y = int(rng.integers(2, max(3, w - bw - 2))), int(rng.integers(2, max(3, h - bh - 2)))
        # A board may be cut by the picture's edge, by up to a sixth.
        if rng.random() < 0.08:
            x = int(-bw / 6 if rng.random() < 0.5 else w - bw * 5 / 6)
        around = (x - 3, y - 3, x + bw + 3, y + bh + 3)
        if any(a < r and l < c and b < s and t < d for (a, b, c, d) in [around] for (l, t, r, s) in taken):
            continue
        taken.append(around)
        _pole(rng, scene, x + bw / 2, y + bh / 2, length, sun)
        scene.paste(board, (x, y), board)
        left, top, right, bottom = board.getchannel("A").point(lambda a: 255 if a > 127 else 0).getbbox()
        return (max(0, x + left), max(0, y + top), min(w, x + right), min(h, y + bottom))
    return None


def _pole(rng, scene, x, y, length, sun):
    """A pole that goes down from the middle of the board, and its shadow on the ground."""
    foot = y + length * rng.uniform(0.8, 1.5)
    wide = max(1, round(length * 0.05))
    shade = Image.new("L", scene.size)
    reach = length * rng.uniform(0.5, 1.0)
    ImageDraw.Draw(shade).line([(x, foot), (x + reach * math.cos(sun), foot + 0.5 * reach * math.sin(sun))], fill=110, width=wide + 1)
    scene.paste((16, 18, 22), (0, 0), shade.filter(ImageFilter.GaussianBlur(0.8)))
    tone = int(rng.integers(70, 190))
    ImageDraw.Draw(scene).line([(x, y), (x, foot)], fill=(tone, tone, tone), width=wide)


def _seen(rng, board, length):
    """A board turned, leaned and squeezed as the eye meets it, `length` pixels high, weathered and lit."""
    turn, lean = math.radians(rng.normal(0, 4)), rng.normal(0, 0.06)
    squeeze = rng.uniform(0.72, 1.0)
    c, s = math.cos(turn), math.sin(turn)
    forward = np.array([[c * squeeze, -s + lean], [s * squeeze, c]]) * (length / SIDE) * 4
    side = math.ceil(length * 4 * 1.3)
    back = np.linalg.inv(forward)
    shift = np.array([SIDE / 2, SIDE / 2]) - back @ [side / 2, side / 2]
    rows = (back[0, 0], back[0, 1], shift[0], back[1, 0], back[1, 1], shift[1])
    large = board.transform((side, side), Image.Transform.AFFINE, rows, Image.Resampling.BILINEAR)
    small = large.resize((max(1, side // 4), max(1, side // 4)), Image.Resampling.BOX)
    pixels = np.asarray(small, np.float32)
    faded = rng.uniform(0, 0.3)
    colour = pixels[..., :3] * (1 - faded) + faded * pixels[..., :3].mean(-1, keepdims=True)
    colour = np.clip(colour * rng.uniform(0.6, 1.1), 0, 255)
    return Image.fromarray(np.dstack([colour, pixels[..., 3:]]).astype(np.uint8), "RGBA")


# --- the boards, each SIDE pixels wide and high


def _new():
    board = Image.new("RGBA", (SIDE, SIDE))
    return board, ImageDraw.Draw(board)


def _polygon(corners, reach, turn=0.0, down=0.0):
    """A regular polygon around the middle of a board."""
    middle, radius = SIDE / 2, reach * SIDE / 2
    angles = [turn + 2 * math.pi * k / corners for k in range(corners)]
    return [(middle + radius * math.sin(a), middle + down * SIDE - radius * math.cos(a)) for a in angles]


def _disc(pen, reach, colour):
    middle, radius = SIDE / 2, reach * SIDE / 2
    pen.ellipse([middle - radius, middle - radius, middle + radius, middle + radius], fill=colour)


def _write(pen, text, size, colour, bold, y=0.0):
    font = ImageFont.load_default(size)
    pen.text((SIDE / 2, SIDE / 2 + y * SIDE), text, colour, font, anchor="mm", stroke_width=bold, stroke_fill=colour)


@cache
def face(kind: int) -> Image.Image:
    board, pen = _new()
    name = KINDS[kind]
    if name == "stop":
        pen.polygon(_polygon(8, 1.0, math.pi / 8), fill=WHITE)
        pen.polygon(_polygon(8, 0.92, math.pi / 8), fill=RED)
        _write(pen, "STOP", 62, WHITE, 3)
    elif name == "give-way":
        pen.polygon(_polygon(3, 1.12, math.pi, -0.1), fill=RED)
        pen.polygon(_polygon(3, 0.66, math.pi, -0.1), fill=WHITE)
    elif name == "danger":
        pen.polygon(_polygon(3, 1.12, 0.0, 0.1), fill=RED)
        pen.polygon(_polygon(3, 0.74, 0.0, 0.1), fill=WHITE)
        pen.rounded_rectangle([89, 82, 103, 124], 6, fill=BLACK)
        pen.ellipse([88, 129, 104, 145], fill=BLACK)
    elif name == "no-entry":
        _disc(pen, 1.0, WHITE)
        _disc(pen, 0.94, RED)
        pen.rectangle([34, 80, 158, 112], fill=WHITE)
    elif name.startswith("limit-"):
        _disc(pen, 1.0, RED)
        _disc(pen, 0.74, WHITE)
        _write(pen, name.removeprefix("limit-"), 92, BLACK, 5)
    elif name == "priority":
        pen.polygon(_polygon(4, 1.0), fill=WHITE)
        pen.polygon(_polygon(4, 0.72), fill=YELLOW)
    elif name == "ahead":
        _disc(pen, 1.0, BLUE)
        pen.rectangle([84, 80, 108, 154], fill=WHITE)
        pen.polygon([(96, 30), (52, 88), (140, 88)], fill=WHITE)
    else:
        pen.rounded_rectangle([12, 12, 180, 180], 14, fill=BLUE)
        _write(pen, "P", 150, WHITE, 7)
    return board


def _back(rng) -> Image.Image:
    """What is no sign: the grey back of one, or a plain hoarding."""
    board, pen = _new()
    if rng.random() < 0.5:
        tone = tuple(int(v) for v in rng.integers(90, 170) + rng.integers(-6, 7, 3))
        corners = int(rng.choice((3, 4, 8, 24)))
        pen.polygon(_polygon(corners, 1.0, rng.choice((0.0, math.pi))), fill=tone)
    else:
        colour = tuple(int(v) for v in rng.integers(40, 235, 3))
        high = int(rng.integers(30, 80))
        pen.rectangle([8, 96 - high, 184, 96 + high], fill=colour)
        for line in range(int(rng.integers(0, 4))):
            y = 96 - high + 14 + 18 * line
            if y < 88 + high:
                pen.rectangle([22, y, int(rng.integers(60, 170)), y + 7], fill=tuple(int(v) for v in rng.integers(20, 250, 3)))
    return board
