"""Draws examples/images: 40 road, 40 terrain and 40 sign pictures of the series SHIPPED, with their truth.

They are the first forty scenes of that series, whatever the models say of them: the surfaces and
the sizes take turns. Small pictures are PNG or JPEG, large ones JPEG.
"""

import csv
from pathlib import Path

import numpy as np

import canvas
import dataset
import roads
import signs
import store
import terrain

COUNT = 40
SIZES = (
    (128, 128), (96, 96), (160, 120), (320, 240), (120, 160), (256, 256), (480, 200),
    (112, 112), (240, 320), (640, 480), (144, 108), (200, 150), (96, 168),
)  # fmt: skip
SIGN_SIZES = (
    (320, 240), (256, 256), (240, 320), (400, 300), (480, 320), (300, 169), (640, 480),
    (360, 270), (224, 224), (270, 360), (333, 250), (420, 236), (280, 210),
)  # fmt: skip
IMAGES = store.EXAMPLES / "images"


def save(rng, picture, folder: Path, stem: str, index: int) -> str:
    w, h = picture.size
    if w * h <= 160 * 120 and index % 2:
        picture.save(folder / f"{stem}.png", optimize=True)
        return f"{stem}.png"
    picture.save(folder / f"{stem}.jpg", quality=int(rng.integers(60, 91)), optimize=True)
    return f"{stem}.jpg"


def write_truth(folder: Path, header: list[str], rows: list[list], name: str = "truth.csv") -> None:
    with open(folder / name, "w", newline="") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(header)
        table.writerows(sorted(rows))


def road() -> None:
    folder, rows = emptied(IMAGES / "road"), []
    for index in range(COUNT):
        rng = canvas.generator(dataset.SHIPPED, index)
        surface, size = index % len(roads.SURFACES), SIZES[index % len(SIZES)]
        scene = roads.draw(rng, size, surface)
        kind = roads.SURFACES[surface]
        first = kind == "gravel" and size == (128, 128)
        file = save(rng, scene.picture, folder, f"{kind}-128" if first else f"{kind}-{index // 5 + 1}", index)
        rows.append([file, kind, f"{(np.asarray(scene.mask) > 127).mean():.4f}"])
    write_truth(folder, ["file", "surface", "road_fraction"], rows)


def landing_spot() -> None:
    folder, rows = emptied(IMAGES / "landing-spot"), []
    for index in range(COUNT):
        rng = canvas.generator(dataset.SHIPPED, index + 1_000_000)
        scene = terrain.draw(rng, SIZES[index % len(SIZES)])
        file = save(rng, scene.picture, folder, f"terrain-{index + 1:02}", index)
        safe = (scene.safety == terrain.SAFE).mean()
        rows.append([file, *(f"{value:.4f}" for value in scene.spot), f"{safe:.4f}"])
    write_truth(folder, ["file", "x", "y", "radius", "safe_fraction"], rows)


def road_signs() -> None:
    folder, rows, boxes = emptied(IMAGES / "road-signs"), [], []
    for index in range(COUNT):
        rng = canvas.generator(dataset.SHIPPED, index + 2_000_000)
        scene = signs.draw(rng, SIGN_SIZES[index % len(SIGN_SIZES)], index % len(roads.SURFACES))
        file = save(rng, scene.picture, folder, f"signs-{index + 1:02}", index)
        rows.append([file, roads.SURFACES[scene.surface], len(scene.kinds)])
        boxes += [[file, signs.KINDS[kind], *map(int, box)] for box, kind in zip(scene.boxes, scene.kinds)]
    write_truth(folder, ["file", "surface", "signs"], rows)
    write_truth(folder, ["file", "kind", "x0", "y0", "x1", "y1"], boxes, "signs.csv")


def emptied(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for file in folder.iterdir():
        file.unlink()
    return folder


if __name__ == "__main__":
    road()
    landing_spot()
    road_signs()
