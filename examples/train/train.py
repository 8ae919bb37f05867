"""Trains the models and writes examples/models/<model>/<version>/model.onnx.

    python examples/train/train.py                        # everything, over an hour on two cores
    python examples/train/train.py --model road-mask --version 2

The scenes are drawn first (dataset.py) and kept in .cache/. A model whose input is another model's
output is trained on what the exported upstream models really say, so the order is road-mask,
surface and landing-safety, landing-spot; version 1 before version 2.
"""

import argparse
import time
from dataclasses import dataclass

import numpy as np
import torch
from torch.nn import functional as F

import boxes as boxes_of
import dataset
import export
import imaging
import models
import store
import terrain


@dataclass(frozen=True)
class Recipe:
    scenes: int
    epochs: int
    rate: float = 4e-3
    batch: int = 64
    augment: bool = True


# Version 1 is the smaller network on a quarter of the scenes, without augmentation.
RECIPES = {
    ("road-mask", 1): Recipe(4000, 12, augment=False),
    ("road-mask", 2): Recipe(16000, 36, rate=6e-3),
    ("surface", 1): Recipe(4000, 18, augment=False),
    ("surface", 2): Recipe(16000, 30, rate=6e-3),
    ("surface-small", 1): Recipe(8000, 40, rate=6e-3),
    ("landing-safety", 1): Recipe(4000, 12, augment=False),
    ("landing-safety", 2): Recipe(12000, 22, rate=5e-3),
    ("landing-spot", 1): Recipe(4000, 14, augment=False),
    ("landing-spot", 2): Recipe(12000, 14),
    ("sign-detector", 1): Recipe(4000, 18, rate=4e-3, batch=32),
    ("sign-reader", 1): Recipe(4000, 12, rate=4e-3, batch=128),
}
SHARPER = 2.5  # landing-spot's own softmax is so much sharper than the one it learns with, so that it settles on one place
SAFE_SHARE = 0.98  # of a disc's pixels that must be safe for the disc to count as safe


# --- augmentation: the same turn for a picture and everything that belongs to it


def turned(planes: list[torch.Tensor], rng: np.random.Generator) -> list[torch.Tensor]:
    turns, flip = int(rng.integers(4)), rng.random() < 0.5
    planes = [torch.rot90(p, turns, (-2, -1)) for p in planes]
    return [torch.flip(p, (-1,)) if flip else p for p in planes]


def relit(image: torch.Tensor, rng: np.random.Generator) -> torch.Tensor:
    """Another exposure, contrast and colour of light for each normalised picture of a batch."""
    n = len(image)
    gain = torch.from_numpy(np.float32(1 + rng.normal(0, 0.12, (n, 1, 1, 1)) + rng.normal(0, 0.03, (n, 3, 1, 1))))
    shift = torch.from_numpy(np.float32(rng.normal(0, 0.12, (n, 1, 1, 1))))
    image = image * gain + shift
    if rng.random() < 0.3:
        image = image + 0.1 * torch.randn(image.shape)
    return image


def batches(count: int, size: int, rng: np.random.Generator):
    order = rng.permutation(count)
    for start in range(0, count - size + 1, size):
        yield order[start : start + size]


def fit(model, count: int, recipe: Recipe, seed: int, loss_of, report):
    """AdamW with one warm-up and a cosine; `loss_of(rows, rng)` is the loss of the scenes `rows`."""
    rng = np.random.default_rng([seed, 99])
    steps = recipe.epochs * (count // recipe.batch)
    optimiser = torch.optim.AdamW(model.parameters(), recipe.rate, weight_decay=1e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, recipe.rate, steps, pct_start=0.15)
    begin = time.time()
    for epoch in range(recipe.epochs):
        model.train()
        total = 0.0
        for rows in batches(count, recipe.batch, rng):
            loss = loss_of(rows, rng)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            schedule.step()
            total += loss.item()
        if epoch % 4 == 3 or epoch == recipe.epochs - 1:
            model.eval()
            with torch.no_grad():
                figures = report()
            print(f"  epoch {epoch + 1:2} loss {total / (count // recipe.batch):.4f} {figures} {time.time() - begin:.0f} s", flush=True)


def upstream(name: str, version: int, pixels: np.ndarray) -> np.ndarray:
    """What an exported model says of these pictures (uint8 [n, h, w, 3])."""
    chunks = [
        next(iter(store.run(name, version, image=imaging.normalised(pixels[i : i + 250])).values())).astype(np.float16)
        for i in range(0, len(pixels), 250)
    ]
    return np.concatenate(chunks)


# --- the models


def pictures(pixels: np.ndarray, rows) -> torch.Tensor:
    return torch.from_numpy(imaging.normalised(pixels[rows]))


def train_road_mask(version, recipe, seed):
    pixels, masks, _ = dataset.scenes("road", dataset.TRAIN, recipe.scenes, cached=True)
    seen, truth, _ = dataset.scenes("road", dataset.VALID, 600, cached=True)
    model = models.RoadMask(version)

    def loss_of(rows, rng):
        image, mask = pictures(pixels, rows), torch.from_numpy(masks[rows]).float().div(255).unsqueeze(1)
        if recipe.augment:
            image, mask = turned([relit(image, rng), mask], rng)
        logits = model.logits(image)
        p = torch.sigmoid(logits)
        overlap = 1 - (2 * (p * mask).sum((1, 2, 3)) + 1) / ((p + mask).sum((1, 2, 3)) + 1)
        return F.binary_cross_entropy_with_logits(logits, mask) + (0.6 if version >= 2 else 0.3) * overlap.mean()

    def report():
        said = model(pictures(seen, slice(None))).squeeze(1).numpy() > 0.5
        real = truth > 127
        return f"IoU {(said & real).sum() / (said | real).sum():.3f}"

    fit(model, len(pixels), recipe, seed, loss_of, report)
    return model


def train_surface(version, recipe, seed):
    pixels, truth, kinds = dataset.scenes("road", dataset.TRAIN, recipe.scenes, cached=True)
    seen, _, seen_kinds = dataset.scenes("road", dataset.VALID, 600, cached=True)
    # Masks from this version of road-mask and from those before it: the two are replaced one at a time.
    masks = [upstream("road-mask", v, pixels) for v in range(1, version + 1)] + [truth[:, None] / np.float16(255)]
    seen_masks = torch.from_numpy(upstream("road-mask", version, seen).astype(np.float32))
    model = models.Surface(version)

    def loss_of(rows, rng):
        which = rng.choice(len(masks), len(rows), p=[0.2, 0.7, 0.1] if version >= 2 else [0.9, 0.1])
        mask = torch.from_numpy(np.stack([masks[k][row] for k, row in zip(which, rows)]).astype(np.float32))
        image = pictures(pixels, rows)
        if recipe.augment:
            image, mask = turned([relit(image, rng), mask], rng)
        return F.cross_entropy(model.logits(image, mask), torch.from_numpy(kinds[rows]), label_smoothing=0.03)

    def report():
        said = model.logits(pictures(seen, slice(None)), seen_masks).argmax(1).numpy()
        return f"accuracy {(said == seen_kinds).mean():.3f}"

    fit(model, len(pixels), recipe, seed, loss_of, report)
    return model


def train_surface_small(version, recipe, seed):
    pixels, _, kinds = dataset.scenes("road", dataset.TRAIN, recipe.scenes, cached=True)
    seen, _, seen_kinds = dataset.scenes("road", dataset.VALID, 600, cached=True)
    model = models.SurfaceSmall(version)

    def loss_of(rows, rng):
        (image,) = turned([relit(pictures(pixels, rows), rng)], rng)
        return F.cross_entropy(model.logits(image), torch.from_numpy(kinds[rows]), label_smoothing=0.03)

    def report():
        said = model.logits(pictures(seen, slice(None))).argmax(1).numpy()
        return f"accuracy {(said == seen_kinds).mean():.3f}"

    fit(model, len(pixels), recipe, seed, loss_of, report)
    return model


def train_landing_safety(version, recipe, seed):
    pixels, truth, _ = dataset.scenes("ground", dataset.TRAIN, recipe.scenes, cached=True)
    seen, seen_truth, _ = dataset.scenes("ground", dataset.VALID, 600, cached=True)
    model = models.LandingSafety(version)
    weight = torch.tensor([1.0, 1.1, 1.4, 1.5])

    def loss_of(rows, rng):
        image, classes = pictures(pixels, rows), torch.from_numpy(truth[rows])
        if recipe.augment:
            image, classes = turned([relit(image, rng), classes], rng)
        return F.cross_entropy(model.logits(image), classes.long(), weight)

    def report():
        said = np.concatenate([model(pictures(seen, slice(i, i + 100))).argmax(1).numpy() for i in range(0, 600, 100)])
        each = [((said == c) & (seen_truth == c)).sum() / ((said == c) | (seen_truth == c)).sum() for c in range(4)]
        return f"pixels {(said == seen_truth).mean():.3f} mean IoU {np.mean(each):.3f}"

    fit(model, len(pixels), recipe, seed, loss_of, report)
    return model


def disc_safety(safe: torch.Tensor, centre: torch.Tensor, radius: torch.Tensor) -> torch.Tensor:
    """The share of each disc that is safe ground inside the image; `safe` is [n, 96, 96] of 0 and 1."""
    n, margin = safe.shape[-1], 24
    padded = F.pad(safe, (margin,) * 4)
    axis = (torch.arange(n + 2 * margin) - margin + 0.5) / n
    dx, dy = axis[None, None, :] - centre[:, 0, None, None], axis[None, :, None] - centre[:, 1, None, None]
    inside = ((dx * dx + dy * dy) <= radius[:, :, None] ** 2).float()
    return (padded * inside).sum((1, 2)) / inside.sum((1, 2)).clamp(min=1)


def train_landing_spot(version, recipe, seed):
    pixels, truth, spots = dataset.scenes("ground", dataset.TRAIN, recipe.scenes, cached=True)
    seen, seen_truth, seen_spots = dataset.scenes("ground", dataset.VALID, 600, cached=True)
    # Maps as landing-safety really gives them, of this version and of those before it.
    inputs = [upstream("landing-safety", v, pixels) for v in range(1, version + 1)]
    seen_inputs = torch.from_numpy(upstream("landing-safety", version, seen).astype(np.float32))
    room = np.stack([terrain.clearance(classes) for classes in truth]).astype(np.float32)
    model = models.LandingSpot(version)
    grid = model.GRID

    def loss_of(rows, rng):
        which = rng.choice(len(inputs), len(rows), p=[0.25, 0.75] if version >= 2 else [1.0])
        safety = torch.from_numpy(np.stack([inputs[k][row] for k, row in zip(which, rows)]).astype(np.float32))
        clear, safe = torch.from_numpy(room[rows]), torch.from_numpy((truth[rows] == terrain.SAFE).astype(np.float32))
        if recipe.augment:
            safety, clear, safe = turned([safety, clear, safe], rng)
        score, room_map, trust = model.maps(safety)
        centre, radius, belief = model.read(score, room_map, trust)
        # Cells are good spots as far as their room comes near the scene's best.
        cells = F.max_pool2d(clear.unsqueeze(1), 96 // grid).flatten(1)
        best = cells.max(1, keepdim=True).values
        wanted = torch.softmax((cells / best - 1) / 0.04, 1)
        loss = -(wanted * F.log_softmax(score / SHARPER, 1)).sum(1).mean()
        # Room of every cell; the quantile loss keeps the radius on the careful side.
        middle = F.avg_pool2d(clear.unsqueeze(1), 96 // grid).flatten(1)
        off = middle - room_map
        caution = 0.2
        loss = loss + 10 * torch.maximum(caution * off, (caution - 1) * off).mean()
        # Room at the very place that is named, and whether the disc named is safe.
        at = F.grid_sample(clear.unsqueeze(1), (centre * 2 - 1)[:, None, None], align_corners=False, padding_mode="border").view(-1, 1)
        off = at.detach() - radius
        loss = loss + 10 * torch.maximum(caution * off, (caution - 1) * off).mean() - 3 * (at / best).mean()
        with torch.no_grad():
            good = (disc_safety(safe, centre, radius.relu()) >= SAFE_SHARE).float().unsqueeze(1)
        return loss + 0.5 * F.binary_cross_entropy_with_logits(belief, good)

    def report():
        centre, radius, trust = model(seen_inputs)
        safe = torch.from_numpy((seen_truth == terrain.SAFE).astype(np.float32))
        good = disc_safety(safe, centre, radius) >= SAFE_SHARE
        error = np.hypot(*(centre.numpy() - seen_spots[:, :2]).T)
        return (
            f"centre off by {error.mean():.3f} (median {np.median(error):.3f}) safe discs {good.float().mean():.3f} "
            f"radius {radius.mean():.3f} of {seen_spots[:, 2].mean():.3f} trust {trust.mean():.3f} "
            f"right {((trust[:, 0] > 0.5) == good).float().mean():.3f}"
        )

    fit(model, len(pixels), recipe, seed, loss_of, report)
    return model


def moved(image: torch.Tensor, boxes: torch.Tensor, rng: np.random.Generator):
    """Pictures mirrored, shifted and zoomed, each by itself, and the boxes [n, k, 4] with them."""
    n, side = len(image), image.shape[-1]
    zoom = torch.from_numpy(np.float32(np.exp(rng.uniform(-0.25, 0.25, n))))
    mirror = torch.from_numpy(np.float32(rng.choice((-1.0, 1.0), n)))
    shift = torch.from_numpy(np.float32(rng.uniform(-0.12, 0.12, (n, 2))))
    back = torch.zeros(n, 2, 3)
    back[:, 0, 0], back[:, 1, 1], back[:, :, 2] = mirror / zoom, 1 / zoom, shift
    image = F.grid_sample(image, F.affine_grid(back, list(image.shape), align_corners=False), align_corners=False)
    corners = boxes.view(n, -1, 2, 2) / side * 2 - 1
    scale = torch.stack([mirror * zoom, zoom], 1)[:, None, None]
    corners = ((corners - shift[:, None, None]) * scale + 1) * side / 2
    low, high = corners.amin(2).clamp(0, side), corners.amax(2).clamp(0, side)
    return image, torch.cat([low, high], 2)


def overlap(a: torch.Tensor, b: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """IoU and generalised IoU of boxes [n, 4] pair by pair."""
    area = lambda box: (box[:, 2:] - box[:, :2]).clamp(min=0).prod(1)
    shared = area(torch.cat([torch.maximum(a[:, :2], b[:, :2]), torch.minimum(a[:, 2:], b[:, 2:])], 1))
    hull = area(torch.cat([torch.minimum(a[:, :2], b[:, :2]), torch.maximum(a[:, 2:], b[:, 2:])], 1))
    joined = area(a) + area(b) - shared
    iou = shared / joined.clamp(min=1e-6)
    return iou, iou - (hull - joined) / hull.clamp(min=1e-6)


def cells_of(boxes: torch.Tensor, there: torch.Tensor, cells: torch.Tensor, stride: int):
    """For each cell [n, 400] the box it has to say, or -1: those within a box and near its middle, of several
    boxes the smallest; and the cell that holds the middle in any case."""
    x, y = cells[0, 0], cells[0, 1]
    middle = (boxes[..., :2] + boxes[..., 2:]) / 2
    dx, dy = (x - middle[..., 0:1]).abs(), (y - middle[..., 1:2]).abs()
    inside = (x > boxes[..., 0:1]) & (x < boxes[..., 2:3]) & (y > boxes[..., 1:2]) & (y < boxes[..., 3:4])
    good = inside & (dx < 1.5 * stride) & (dy < 1.5 * stride) | (dx <= stride / 2) & (dy <= stride / 2)
    size = (boxes[..., 2:] - boxes[..., :2]).clamp(min=0).prod(-1)
    good &= (there & (size > 12))[..., None]
    cost = torch.where(good, size[..., None], torch.inf)
    least, which = cost.min(1)
    return torch.where(least.isfinite(), which, -1)


def train_sign_detector(version, recipe, seed):
    pixels, boxes, kinds, _ = dataset.scenes("signs", dataset.TRAIN, recipe.scenes, cached=True)
    seen, seen_boxes, seen_kinds, _ = dataset.scenes("signs", dataset.VALID, 400, cached=True)
    model = models.SignDetector(version)

    def loss_of(rows, rng):
        image, truth = moved(pictures(pixels, rows), torch.from_numpy(boxes[rows]), rng)
        there = torch.from_numpy(kinds[rows] >= 0)
        which = cells_of(truth, there, model.cells, model.STRIDE)
        reach, score = model.maps(relit(image, rng))
        row, cell = (which >= 0).nonzero(as_tuple=True)
        wanted = truth[row, which[row, cell]]
        place, reach = model.cells[0, :, cell].T, reach[row, :, cell]
        said = torch.cat([place - reach[:, :2], place + reach[:, 2:]], 1)
        target = (which >= 0).float()
        p = torch.sigmoid(score[:, 0])
        off = (target - p).abs()
        found = (off**1.5 * F.binary_cross_entropy_with_logits(score[:, 0], target, reduction="none")).sum()
        _, general = overlap(said, wanted)
        return (found + (1 - general).sum()) / max(1, len(row))

    def report():
        said = np.concatenate([model(pictures(seen, slice(i, i + 100))).numpy() for i in range(0, len(seen), 100)])
        truth = [b[k >= 0] for b, k in zip(seen_boxes, seen_kinds)]
        return f"mAP {boxes_of.average_precision([boxes_of.found(row, 0.02) for row in said], truth):.3f}"

    fit(model, len(pixels), recipe, seed, loss_of, report)
    return model


def train_sign_reader(version, recipe, seed):
    _, _, kinds, crops = dataset.scenes("signs", dataset.TRAIN, recipe.scenes, cached=True)
    _, _, seen_kinds, seen_crops = dataset.scenes("signs", dataset.VALID, 400, cached=True)
    crops, kinds = crops[kinds >= 0], kinds[kinds >= 0]
    seen, seen_kinds = seen_crops[seen_kinds >= 0][:, 1], seen_kinds[seen_kinds >= 0]
    model = models.SignReader(version)

    def loss_of(rows, rng):
        image = pictures(crops, (rows, rng.integers(dataset.CROPS, size=len(rows))))
        return F.cross_entropy(model.logits(relit(image, rng)), torch.from_numpy(kinds[rows]), label_smoothing=0.03)

    def report():
        said = model.logits(pictures(seen, slice(None))).argmax(1).numpy()
        return f"accuracy {(said == seen_kinds).mean():.3f}"

    fit(model, len(crops), recipe, seed, loss_of, report)
    return model


TRAIN = {
    "road-mask": train_road_mask,
    "surface": train_surface,
    "surface-small": train_surface_small,
    "landing-safety": train_landing_safety,
    "landing-spot": train_landing_spot,
    "sign-detector": train_sign_detector,
    "sign-reader": train_sign_reader,
}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", choices=TRAIN, action="append", help="this model alone (may be given again)")
    parser.add_argument("--version", type=int, choices=(1, 2), action="append")
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--threads", type=int, help="of PyTorch; all cores where left out")
    parser.add_argument("--quick", action="store_true", help="1500 scenes and three epochs, to see that it runs (overwrites the models)")
    options = parser.parse_args()
    if options.threads:
        torch.set_num_threads(options.threads)
    for name in options.model or TRAIN:
        for version in options.version or store.VERSIONS[name]:
            recipe = RECIPES[name, version]
            if options.quick:
                recipe = Recipe(min(recipe.scenes, 1500), 3, augment=recipe.augment)
            print(f"{name} {version}: {recipe.scenes} scenes, {recipe.epochs} epochs", flush=True)
            torch.manual_seed(options.seed + version)
            model = TRAIN[name](version, recipe, options.seed + version)
            print(f"  {export.write(model, name, version)}", flush=True)


if __name__ == "__main__":
    main()
