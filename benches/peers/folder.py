#!/usr/bin/env python3
"""Pictures per second over a folder: `rserve batch` beside a Python loop, with the cost of each stage.

    cargo build --release && python benches/peers/folder.py

Needs Pillow, NumPy and ONNX Runtime (`pip install -r benches/peers/requirements.txt`). The loop decodes with
Pillow, runs batches of 16 with ONNX Runtime in two processes, one thread a session, and writes the same rows.
Both read the same files and the same models; they take turns for --rounds rounds, so that whatever else the
machine does falls on both, and what is printed is the median of the rounds and of the ratios of neighbours.
"""

import argparse
import csv
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from multiprocessing import get_context
from pathlib import Path

import numpy as np
from PIL import Image
from pipeline import Road

ROOT = Path(__file__).resolve().parents[2]
BIN = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")) / "release" / "rserve"
BATCH = 16
PROCESSES = 2


def pictures(folder: Path, count: int) -> list[Path]:
    """JPEG files of 128 x 128, no two alike, in folders of a thousand."""
    shipped = sorted((ROOT / "examples" / "images" / "road").glob("*.[jp][pn]g"))
    originals = [Image.open(path).convert("RGB").resize((160, 160)) for path in shipped]
    rng = np.random.default_rng(1)
    paths = []
    for index in range(count):
        left, top = rng.integers(0, 32, 2)
        picture = originals[index % len(originals)].crop((left, top, left + 128, top + 128))
        path = folder / f"{index // 1000:03}" / f"{index:06}.jpg"
        path.parent.mkdir(exist_ok=True)
        picture.save(path, quality=int(rng.integers(75, 95)))
        paths.append(path)
    return paths


def part(paths: list[Path], table: Path) -> dict[str, float]:
    """What one of the processes does; gives back the seconds of each stage."""
    road = Road()
    spent = {"read": 0.0, "decode": 0.0, "models": 0.0, "encode": 0.0}
    with table.open("w", newline="") as file:
        rows = csv.writer(file)
        for start in range(0, len(paths), BATCH):
            batch = paths[start : start + BATCH]
            begun = time.perf_counter()
            bodies = [path.read_bytes() for path in batch]
            read = time.perf_counter()
            photos = np.stack([road.decode(body) for body in bodies])
            decoded = time.perf_counter()
            probabilities = road.run(photos)
            ran = time.perf_counter()
            for path, row in zip(batch, probabilities, strict=True):
                rows.writerow([path.name, road.encode(row)["surface"][0]["label"]])
            ended = time.perf_counter()
            for stage, took in zip(spent, (read - begun, decoded - read, ran - decoded, ended - ran), strict=True):
                spent[stage] += took
    return spent


def python_loop(paths: list[Path], work: Path) -> tuple[float, dict[str, float]]:
    begun = time.perf_counter()
    shares = [(paths[index::PROCESSES], work / f"part-{index}.csv") for index in range(PROCESSES)]
    with get_context("spawn").Pool(PROCESSES) as pool:
        spent = pool.starmap(part, shares)
    took = time.perf_counter() - begun
    return took, {stage: sum(one[stage] for one in spent) for stage in spent[0]}


def rserve(folder: Path, work: Path) -> tuple[float, dict[str, float]]:
    summary = work / "summary.json"
    command = [BIN, "batch", "pipelines/road.toml", "--pipeline", "road-classification", "--input", folder]
    command += ["--output", work / "rserve", "--summary", summary, "--restart"]
    begun = time.perf_counter()
    subprocess.run(command, cwd=ROOT, check=True, stderr=subprocess.DEVNULL)
    took = time.perf_counter() - begun
    return took, json.loads(summary.read_text())["seconds_by_stage"]


def stages(spent: dict[str, float], count: int) -> str:
    return ", ".join(f"{stage} {1e6 * took / count:.0f}" for stage, took in spent.items())


def main() -> int:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--count", type=int, default=5000, help="pictures [5000]")
    arguments.add_argument("--rounds", type=int, default=3, help="turns of each [3]")
    given = arguments.parse_args()
    if not BIN.exists():
        sys.exit(f"there is no {BIN}: cargo build --release")
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        (work / "pictures").mkdir()
        paths = pictures(work / "pictures", given.count)
        loops, ours = [], []
        for turn in range(given.rounds):
            loops.append(python_loop(paths, work))
            ours.append(rserve(work / "pictures", work))
            (loop, _), (own, _) = loops[-1], ours[-1]
            print(f"round {turn + 1}: Python {given.count / loop:.0f}/s, rserve {given.count / own:.0f}/s, "
                  f"{loop / own:.2f} times as many", flush=True)
        rows = (work / "rserve" / "rows.csv").read_text().count("\n") - 1
        assert rows == given.count, f"{rows} rows"
        for name, runs in (("Python", loops), ("rserve", ours)):
            took = statistics.median(one for one, _ in runs)
            _, spent = min(runs, key=lambda run: abs(run[0] - took))
            print(f"{name}: {given.count / took:.0f}/s from start to end; microseconds a picture: {stages(spent, given.count)}")
        ratio = statistics.median(loop / own for (loop, _), (own, _) in zip(loops, ours, strict=True))
        print(f"rserve does {ratio:.2f} times as many")
    return 0


if __name__ == "__main__":
    sys.exit(main())
