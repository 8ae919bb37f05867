#!/usr/bin/env python3
"""Peak memory of `rserve batch` over 1,000 pictures and over 100,000: the second should be that of the first.

    cargo build --release && python benches/peers/memory.py

Needs Pillow (`pip install -r benches/peers/requirements.txt`). The pictures are 1,000 JPEG files of 128 x 128
under many names (hard links). What is read is VmHWM, the most that the process ever had in memory, and how much
of it was the process's own (not of files) at the end; the turns alternate.
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from folder import BIN, ROOT, pictures

KEYS = ("VmHWM", "RssAnon")


def names(originals: list[Path], folder: Path, count: int) -> None:
    for index in range(count):
        path = folder / f"{index // 1000:03}" / f"{index:06}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        os.link(originals[index % len(originals)], path)


def peak(folder: Path, output: Path, pipeline: str) -> dict[str, float]:
    """In MB."""
    file = {"road-classification": "road.toml"}.get(pipeline, f"{pipeline}.toml")
    command = [BIN, "batch", f"pipelines/{file}", "--pipeline", pipeline, "--input", folder, "--output", output]
    run = subprocess.Popen([*command, "--restart"], cwd=ROOT, stderr=subprocess.DEVNULL)
    seen = dict.fromkeys(KEYS, 0.0)
    # The kernel keeps the peak, so that the last reading before the end holds it.
    while run.poll() is None:
        try:
            status = Path(f"/proc/{run.pid}/status").read_text()
        except OSError:
            break
        found = dict(line.split(":", 1) for line in status.splitlines() if ":" in line)
        for key in KEYS:
            if key in found:
                seen[key] = int(found[key].split()[0]) / 1024
        time.sleep(0.01)
    assert run.wait() == 0, f"rserve ended with {run.returncode}"
    return seen


def main() -> int:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--counts", type=int, nargs="+", default=[1000, 100_000], help="pictures [1000 100000]")
    arguments.add_argument("--rounds", type=int, default=3, help="turns of each [3]")
    arguments.add_argument("--pipeline", default="road-classification", help="[road-classification]")
    given = arguments.parse_args()
    if not BIN.exists():
        sys.exit(f"there is no {BIN}: cargo build --release")
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        (work / "originals").mkdir()
        originals = pictures(work / "originals", 1000)
        peaks: dict[int, list[float]] = {count: [] for count in given.counts}
        for count in given.counts:
            names(originals, work / str(count), count)
        for turn in range(given.rounds):
            for count in given.counts:
                seen = peak(work / str(count), work / "output", given.pipeline)
                peaks[count].append(seen["VmHWM"])
                print(f"round {turn + 1}: {count} pictures, peak {seen['VmHWM']:.0f} MB, "
                      f"its own at the end {seen['RssAnon']:.0f} MB", flush=True)
        first = statistics.median(peaks[given.counts[0]])
        for count, readings in peaks.items():
            middle = statistics.median(readings)
            print(f"{count} pictures: peak {middle:.0f} MB, {middle / first:.2f} times that of {given.counts[0]}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
