"""What stands between a picture and a model: exactly what the pipelines' decode step does.

Bring the RGB picture to the network's square (Pillow's antialiased bilinear), stretched or, for the
detector of signs, padded; divide by 255, take off ImageNet's mean, divide by its deviation, channels first.
"""

import numpy as np
from PIL import Image, ImageOps

MEAN = np.array([0.485, 0.456, 0.406], np.float32)
STD = np.array([0.229, 0.224, 0.225], np.float32)
ROAD_SIDE = 64
TERRAIN_SIDE = 96
DETECTOR_SIDE = 160
READER_SIDE = 32
READER_GROW = 0.1  # of a box's sides, added on each of its four sides before it is cut out


def stretched(picture: Image.Image, side: int) -> np.ndarray:
    """uint8 [side, side, channels], or [side, side] of a grey picture."""
    return np.asarray(picture.resize((side, side), Image.Resampling.BILINEAR))


def padded(picture: Image.Image, side: int) -> tuple[np.ndarray, np.ndarray]:
    """uint8 [side, side, 3], the whole picture in the middle of a black square, and what leads from the
    picture's pixels to the square's: [[scale x, scale y], [left, top]]."""
    w, h = side, side
    if picture.width > picture.height:
        h = round(picture.height / picture.width * side)
    elif picture.width < picture.height:
        w = round(picture.width / picture.height * side)
    left, top = round((side - w) * 0.5), round((side - h) * 0.5)
    square = ImageOps.pad(picture, (side, side), Image.Resampling.BILINEAR)
    return np.asarray(square), np.array([[w / picture.width, h / picture.height], [left, top]], np.float32)


def normalised(pixels: np.ndarray) -> np.ndarray:
    """uint8 [..., h, w, 3] to float32 [..., 3, h, w]."""
    values = (pixels.astype(np.float32) / 255 - MEAN) / STD
    return np.ascontiguousarray(np.moveaxis(values, -1, -3))


def tensor(picture: Image.Image, side: int) -> np.ndarray:
    """The model input of one picture, float32 [3, side, side]."""
    return normalised(stretched(picture.convert("RGB"), side))


def cut(picture: Image.Image, box, side: int) -> np.ndarray:
    """uint8 [side, side, 3]: a box of the picture, grown, kept within the picture and stretched."""
    x0, y0, x1, y1 = (float(v) for v in box)
    dx, dy = (x1 - x0) * READER_GROW, (y1 - y0) * READER_GROW
    left, top = max(0, round(x0 - dx)), max(0, round(y0 - dy))
    right, bottom = min(picture.width, round(x1 + dx)), min(picture.height, round(y1 + dy))
    return stretched(picture.crop((left, top, right, bottom)), side)
