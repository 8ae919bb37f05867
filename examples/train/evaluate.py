"""Measures every shipped model on scenes that none was trained on, and prints the tables of README.md.

    python examples/train/evaluate.py              # needs onnxruntime, numpy, pillow
    python examples/train/evaluate.py --check      # also fails unless README.md holds these very lines

Draws the first `--scenes` scenes of each kind of the series HELD_OUT (seed 11 in dataset.py), then reads
examples/images. The same command prints the same figures.
"""

import argparse
import csv
import sys

import numpy as np
from PIL import Image

import boxes
import dataset
import export
import imaging
import roads
import signs
import store
import terrain

SAFE_SHARE = 0.98  # of a disc's pixels that must be safe ground for the disc to count as safe
BOTH = (1, 2)
SURE = 0.8  # of the small model of the surface; below it pipelines/road-signs.toml asks the large one


# --- figures; each is a function of what was said and what is true


def mask_figures(said: np.ndarray, truth: np.ndarray) -> dict[str, float]:
    said, truth = said > 0.5, truth > 0.5
    return {"IoU": (said & truth).sum() / (said | truth).sum(), "pixels right": (said == truth).mean()}


def safety_figures(said: np.ndarray, truth: np.ndarray) -> dict[str, float]:
    said = said.argmax(1)
    each = [((said == c) & (truth == c)).sum() / ((said == c) | (truth == c)).sum() for c in range(len(terrain.SAFETY))]
    missed = ((said == terrain.SAFE) & (truth != terrain.SAFE)).sum() / (truth != terrain.SAFE).sum()
    return {"mean IoU": np.mean(each), "pixels right": (said == truth).mean(), "unsafe pixels called safe": missed}


def disc_share(safety: np.ndarray, x: float, y: float, radius: float) -> float:
    """The share of a disc that is safe ground inside the image."""
    n = len(safety)
    margin = n // 2
    safe = np.pad(safety == terrain.SAFE, margin)
    axis = (np.arange(n + 2 * margin) - margin + 0.5) / n
    inside = (axis[None] - x) ** 2 + (axis[:, None] - y) ** 2 <= radius**2
    return safe[inside].mean() if inside.any() else 0.0


def spot_figures(said: dict[str, np.ndarray], safety: np.ndarray, spots: np.ndarray) -> dict[str, float]:
    centre, radius, confidence = said["centre"], said["radius"][:, 0], said["confidence"][:, 0]
    error = np.hypot(*(centre - spots[:, :2]).T)
    n = safety.shape[-1]
    cells = np.clip((centre * n).astype(int), 0, n - 1)
    room = np.array([terrain.clearance(s)[y, x] for s, (x, y) in zip(safety, cells)])
    good = np.array([disc_share(s, *c, r) >= SAFE_SHARE for s, c, r in zip(safety, centre, radius)])
    sure = confidence >= 0.8
    return {
        "safe discs": good.mean(),
        "centre error, mean": error.mean(),
        "centre error, median": np.median(error),
        "room at the centre / best": (room / spots[:, 2]).mean(),
        "radius / best": (radius / spots[:, 2]).mean(),
        "mean confidence": confidence.mean(),
        "confidence >= 0.8": sure.mean(),
        "safe discs among these": good[sure].mean() if sure.any() else float("nan"),
    }


def box_figures(said: list[tuple[np.ndarray, np.ndarray]], truth: list[np.ndarray]) -> dict[str, float]:
    """Of boxes as the detector gives them down to a score of 0.02, and of those that the pipeline keeps."""
    kept = [b[score >= boxes.THRESHOLD] for b, score in said]
    best = [boxes.ious(real, b).max(1, initial=0) for b, real in zip(kept, truth)]
    right = np.concatenate([row[row >= 0.5] for row in best])
    return {
        "mAP at IoU 0.5": boxes.average_precision(said, truth),
        "signs found": len(right) / sum(map(len, truth)),
        "boxes that are signs": len(right) / sum(map(len, kept)),
        "IoU of these, mean": right.mean(),
    }


def cascade_figures(small: np.ndarray, large: np.ndarray, kinds: np.ndarray) -> dict[str, dict[str, float]]:
    """The small model alone, the large one alone, and the large one only where the small one is unsure."""
    work = {name: export.multiply_adds(name, store.VERSIONS[name][-1]) / 1e6 for name in ("surface-small", "road-mask", "surface")}
    cheap, dear = work["surface-small"], work["road-mask"] + work["surface"]
    sure = small.max(1)
    columns = {
        "small alone": (small.argmax(1), 0.0, cheap),
        "large alone": (large.argmax(1), 1.0, dear),
    }
    for limit in (0.6, SURE, 0.9):
        asked = sure < limit
        said = np.where(asked, large.argmax(1), small.argmax(1))
        columns[f"large where small < {limit}"] = (said, asked.mean(), cheap + asked.mean() * dear)
    return {
        name: {"right": (said == kinds).mean(), "asked the large one": asked, "multiply-adds, million": cost}
        for name, (said, asked, cost) in columns.items()
    }


# --- tables


def table(title: str, columns: dict[str, dict[str, float]]) -> list[str]:
    lines = ["", f"| {title} | {' | '.join(columns)} |", f"| --- |{' ---: |' * len(columns)}"]
    for figure in next(iter(columns.values())):
        lines.append(f"| {figure} | {' | '.join(f'{column[figure]:.3f}' for column in columns.values())} |")
    return lines


def held_out_road(count: int) -> list[str]:
    pixels, mask, kinds = dataset.scenes("road", dataset.HELD_OUT, count)
    image, truth = imaging.normalised(pixels), mask[:, None].astype(np.float32) / 255
    masks, surfaces = {}, {}
    for version in BOTH:
        said = store.run("road-mask", version, image=image)["mask"]
        masks[f"version {version}"] = mask_figures(said, truth)
        best = store.run("surface", version, image=image, mask=said)["probabilities"].argmax(1)
        surfaces[f"version {version}"] = {"right": (best == kinds).mean()} | {
            f"right, of {name}": (best == kinds)[kinds == k].mean() for k, name in enumerate(roads.SURFACES)
        }
    lines = table(f"road-mask, {count} scenes", masks) + table(f"surface, {count} scenes", surfaces)
    return lines + table(f"surface in two stages, {count} scenes", cascade_figures(*both_stages(pixels), kinds))


def held_out_ground(count: int) -> list[str]:
    pixels, safety, spots = dataset.scenes("ground", dataset.HELD_OUT, count)
    image = imaging.normalised(pixels)
    maps, found = {}, {}
    said = {v: store.run("landing-safety", v, image=image)["classes"] for v in BOTH}
    for version in BOTH:
        maps[f"version {version}"] = safety_figures(said[version], safety)
    for version, upstream in ((1, 1), (1, 2), (2, 1), (2, 2)):
        spot = store.run("landing-spot", version, safety=said[upstream])
        found[f"version {version} on landing-safety {upstream}"] = spot_figures(spot, safety, spots)
    return table(f"landing-safety, {count} scenes", maps) + table(f"landing-spot, {count} scenes", found)


def held_out_signs(count: int) -> list[str]:
    square, truth, kinds, crops = dataset.scenes("signs", dataset.HELD_OUT, count)
    said = store.run("sign-detector", 1, image=imaging.normalised(square))["boxes"]
    found = box_figures([boxes.found(row, 0.02) for row in said], [b[k >= 0] for b, k in zip(truth, kinds)])
    lines = table(f"sign-detector, {count} scenes", {"version 1": found})
    crops, kinds = crops[kinds >= 0][:, 0], kinds[kinds >= 0]
    read = store.run("sign-reader", 1, image=imaging.normalised(crops))["probabilities"].argmax(1)
    right = {"right": (read == kinds).mean()} | {
        f"right, of {name}": (read == kinds)[kinds == k].mean() for k, name in enumerate(signs.KINDS)
    }
    return lines + table(f"sign-reader, the {len(kinds)} signs of these scenes", {"version 1": right})


def both_stages(pixels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """What surface-small and what road-mask 2 with surface 2 say of pictures [n, 64, 64, 3]."""
    image = imaging.normalised(pixels)
    small = store.run("surface-small", 1, image=image)["probabilities"]
    mask = store.run("road-mask", 2, image=image)["mask"]
    return small, store.run("surface", 2, image=image, mask=mask)["probabilities"]


def shipped_signs() -> list[str]:
    """pipelines/road-signs.toml from the picture file to the answer, against truth.csv and signs.csv."""
    rows, pictures = rows_of("road-signs")
    with open(store.EXAMPLES / "images" / "road-signs" / "signs.csv") as file:
        there = list(csv.DictReader(file))
    total = right = kept = read_right = 0
    for row, picture in zip(rows, pictures):
        picture = picture.convert("RGB")
        real = [r for r in there if r["file"] == row["file"]]
        truth = np.array([[float(r[k]) for k in ("x0", "y0", "x1", "y1")] for r in real], np.float32).reshape(-1, 4)
        square, (scale, shift) = imaging.padded(picture, imaging.DETECTOR_SIDE)
        said = store.run("sign-detector", 1, image=imaging.normalised(square)[None])["boxes"][0]
        box = (boxes.found(said)[0] - np.tile(shift, 2)) / np.tile(scale, 2)
        box = np.clip(box, 0, [*picture.size, *picture.size])
        total, kept = total + len(truth), kept + len(box)
        for place, meet in zip(box, boxes.ious(box, truth)):
            if meet.max(initial=0) < 0.5:
                continue
            right += 1
            crop = imaging.normalised(imaging.cut(picture, place, imaging.READER_SIDE))
            kind = store.run("sign-reader", 1, image=crop[None])["probabilities"][0].argmax()
            read_right += signs.KINDS[kind] == real[int(meet.argmax())]["kind"]
    pixels = np.stack([imaging.stretched(picture.convert("RGB"), imaging.ROAD_SIDE) for picture in pictures])
    small, large = both_stages(pixels)
    best = np.where((small.max(1) < SURE)[:, None], large, small).argmax(1)
    figures = {
        "signs found": right / total,
        "boxes that are signs": right / kept,
        "read right, of those found": read_right / right,
        "surface right": np.mean([roads.SURFACES[k] == row["surface"] for k, row in zip(best, rows)]),
    }
    return table(f"the {len(rows)} shipped pictures with {total} signs", {"road-signs": figures})


def rows_of(folder: str) -> tuple[list[dict[str, str]], list[Image.Image]]:
    folder = store.EXAMPLES / "images" / folder
    with open(folder / "truth.csv") as file:
        rows = list(csv.DictReader(file))
    return rows, [Image.open(folder / row["file"]) for row in rows]


def shipped_images() -> list[str]:
    """Both pipelines, from the picture file to the answer, against truth.csv."""
    road_rows, pictures = rows_of("road")
    image = np.stack([imaging.tensor(picture, imaging.ROAD_SIDE) for picture in pictures])
    spot_rows, pictures = rows_of("landing-spot")
    ground = np.stack([imaging.tensor(picture, imaging.TERRAIN_SIDE) for picture in pictures])
    true_spots = np.array([[float(row[key]) for key in ("x", "y", "radius")] for row in spot_rows])
    columns = {}
    for version in BOTH:
        mask = store.run("road-mask", version, image=image)["mask"]
        best = store.run("surface", version, image=image, mask=mask)["probabilities"].argmax(1)
        share = (mask > 0.5).mean((1, 2, 3))
        safety = store.run("landing-safety", version, image=ground)["classes"]
        spot = store.run("landing-spot", version, safety=safety)
        error = np.hypot(*(spot["centre"] - true_spots[:, :2]).T)
        columns[f"version {version}"] = {
            "road: surface right": np.mean([roads.SURFACES[k] == row["surface"] for k, row in zip(best, road_rows)]),
            "road: error of road_fraction, mean": np.mean([abs(s - float(r["road_fraction"])) for s, r in zip(share, road_rows)]),
            "landing-spot: error of safe_fraction, mean": np.mean(
                [abs((s.argmax(0) == terrain.SAFE).mean() - float(r["safe_fraction"])) for s, r in zip(safety, spot_rows)]
            ),
            "landing-spot: centre error, mean": error.mean(),
            "landing-spot: centre error, median": np.median(error),
            "landing-spot: radius / best": (spot["radius"][:, 0] / true_spots[:, 2]).mean(),
        }
    return table(f"the {len(road_rows)} + {len(spot_rows)} shipped images", columns)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scenes", type=int, default=1000, help="held-out scenes of each kind (default 1000)")
    parser.add_argument("--check", action="store_true", help="fail unless README.md holds every line printed")
    options = parser.parse_args()
    lines = held_out_road(options.scenes) + held_out_ground(options.scenes) + shipped_images()
    lines += held_out_signs(options.scenes) + shipped_signs()
    print("\n".join(lines))
    if options.check:
        written = (store.EXAMPLES / "README.md").read_text().splitlines()
        missing = [line for line in lines if line not in written]
        if missing:
            sys.exit("not in README.md:\n" + "\n".join(missing))


if __name__ == "__main__":
    main()
