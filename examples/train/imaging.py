"""What stands between a picture and a model: exactly what the pipelines' decode step does.

Stretch the RGB picture to the network's square (Pillow's antialiased bilinear), divide by 255,
take off ImageNet's mean, divide by its deviation, channels first.
"""

import numpy as np
from PIL import Image

MEAN = np.array([0.485, 0.456, 0.406], np.float32)
STD = np.array([0.229, 0.224, 0.225], np.float32)
ROAD_SIDE = 64
TERRAIN_SIDE = 96


def stretched(picture: Image.Image, side: int) -> np.ndarray:
    """uint8 [side, side, channels], or [side, side] of a grey picture."""
    return np.asarray(picture.resize((side, side), Image.Resampling.BILINEAR))


def normalised(pixels: np.ndarray) -> np.ndarray:
    """uint8 [..., h, w, 3] to float32 [..., 3, h, w]."""
    values = (pixels.astype(np.float32) / 255 - MEAN) / STD
    return np.ascontiguousarray(np.moveaxis(values, -1, -3))


def tensor(picture: Image.Image, side: int) -> np.ndarray:
    """The model input of one picture, float32 [3, side, side]."""
    return normalised(stretched(picture.convert("RGB"), side))
