"""Sets of scenes as the networks see them, drawn in parallel and kept in .cache/.

Four series of scenes that share none: TRAIN, VALID (watched while training), HELD_OUT (evaluate.py,
first drawn once all models were final) and SHIPPED (examples/images).
"""

import argparse
import os
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np

import canvas
import imaging
import roads
import signs
import terrain

TRAIN, VALID, SHIPPED, HELD_OUT = 1, 2, 4, 11
CACHE = Path(__file__).parent / ".cache"


def road(seed: int, index: int):
    """Picture [64, 64, 3], mask [64, 64] (both uint8) and surface; the surfaces take turns."""
    rng = canvas.generator(seed, index)
    scene = roads.draw(rng, surface=index % len(roads.SURFACES))
    picture = canvas.through_jpeg(rng, scene.picture)
    side = imaging.ROAD_SIDE
    return imaging.stretched(picture, side), imaging.stretched(scene.mask, side), np.int64(scene.surface)


def ground(seed: int, index: int):
    """Picture [96, 96, 3] and safety [96, 96] (both uint8), and the best spot x, y, radius."""
    rng = canvas.generator(seed, index + 1_000_000)
    scene = terrain.draw(rng)
    picture = canvas.through_jpeg(rng, scene.picture)
    return imaging.stretched(picture, imaging.TERRAIN_SIDE), scene.safety, np.float32(scene.spot)


MOST_SIGNS = 8
CROPS = 3  # of each sign, around boxes as a detector may give them


def road_signs(seed: int, index: int):
    """Square [160, 160, 3] uint8, boxes [8, 4] in its pixels, kinds [8] (-1 where there is none), and
    what is cut out around each box, uint8 [8, 3, 32, 32, 3]."""
    rng = canvas.generator(seed, index + 2_000_000)
    scene = signs.draw(rng, surface=index % len(roads.SURFACES))
    picture = canvas.through_jpeg(rng, scene.picture)
    square, (scale, shift) = imaging.padded(picture, imaging.DETECTOR_SIDE)
    boxes, kinds = np.zeros((MOST_SIGNS, 4), np.float32), np.full(MOST_SIGNS, -1, np.int64)
    side = imaging.READER_SIDE
    crops = np.zeros((MOST_SIGNS, CROPS, side, side, 3), np.uint8)
    for k, (box, kind) in enumerate(zip(scene.boxes, scene.kinds)):
        boxes[k], kinds[k] = box * np.tile(scale, 2) + np.tile(shift, 2), kind
        sides = np.tile(box[2:] - box[:2], 2)
        for n in range(CROPS):
            off = np.clip(rng.normal(0, 0.06, 4), -0.15, 0.15) * sides if n else 0
            crops[k, n] = imaging.cut(picture, box + off, side)
    return square, boxes, kinds, crops


KINDS = {"road": road, "ground": ground, "signs": road_signs}


def _draw(job):
    kind, seed, index = job
    return KINDS[kind](seed, index)


def scenes(kind: str, seed: int, count: int, cached: bool = False, workers: int | None = None) -> list[np.ndarray]:
    """The first `count` scenes of a series, one array per thing that is known of a scene."""
    path = CACHE / f"{kind}-{seed}.npz"
    if cached and path.exists():
        with np.load(path) as kept:
            columns = [kept[name] for name in kept.files]
        if len(columns[0]) >= count:
            return [column[:count] for column in columns]
    jobs = [(kind, seed, index) for index in range(count)]
    with ProcessPoolExecutor(workers or os.cpu_count()) as pool:
        rows = list(pool.map(_draw, jobs, chunksize=25))
    columns = [np.stack(column) for column in zip(*rows)]
    if cached:
        CACHE.mkdir(exist_ok=True)
        np.savez(path, *columns)
    return columns


def main():
    parser = argparse.ArgumentParser(description="Draw the training scenes and keep them in .cache/")
    parser.add_argument("kind", choices=KINDS)
    parser.add_argument("--scenes", type=int, default=12000)
    parser.add_argument("--workers", type=int)
    options = parser.parse_args()
    scenes(options.kind, VALID, 600, True, options.workers)
    scenes(options.kind, TRAIN, options.scenes, True, options.workers)


if __name__ == "__main__":
    main()
