#!/usr/bin/env python3
"""Requests per second of a detector, crops and a reader: rserve beside FastAPI, by how many signs a picture has.

    cargo build --release
    python3 -m venv .venv && .venv/bin/pip install -r benches/peers/requirements.txt
    .venv/bin/python benches/peers/steps.py

Needs `hey` on the PATH. Pictures of 640 x 480 with 0, 1, 5 and 50 signs are made; each server answers each of
them with 32 connections, in turns for --rounds rounds, so that whatever else the machine does falls on all. The
peers are FastAPI with two workers, ONNX Runtime on one thread, Pillow and NumPy: once with all crops of a picture in
one batch, and once as a loop that calls the reader for each crop. What is printed is the median of the rounds,
and the median of the ratios of neighbours. Answers are compared first: the same signs in the same places.
"""

import argparse
import io
import json
import os
import re
import signal
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path

import numpy as np
from PIL import Image

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
BIN = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")) / "release" / "rserve"
COUNTS = (0, 1, 5, 50)
sys.path.insert(0, str(ROOT / "examples" / "train"))


def picture(count: int) -> bytes:
    """A JPEG of 640 x 480 with `count` signs, in a grid of eight by seven, on a shipped picture that has none."""
    import signs  # of examples/train

    rng = np.random.default_rng([5, count])
    scene = Image.open(ROOT / "examples" / "images" / "road-signs" / "signs-03.jpg").convert("RGB").resize((640, 480))
    for cell in rng.permutation(56)[:count]:
        board = signs.face(int(rng.integers(len(signs.KINDS)))).resize((56, 56), Image.Resampling.LANCZOS)
        scene.paste(board, (int(cell % 8) * 80 + 12, int(cell // 8) * 68 + 6), board)
    file = io.BytesIO()
    scene.save(file, "JPEG", quality=88)
    return file.getvalue()


def servers(binary: Path) -> dict[str, tuple[list[str], str]]:
    """By name: the command, and the URLs of what it serves by the names that are printed."""
    ours = [str(binary), "run", str(HERE / "steps.toml"), "--listen", "127.0.0.1:8095"]
    fastapi = [sys.executable, "-m", "uvicorn", "signs_app:app", "--workers", "2", "--port", "8096"]
    fastapi += ["--log-level", "warning", "--no-access-log"]
    return {
        "rserve": (ours, "http://127.0.0.1:8095/signs/predict"),
        "fastapi": (fastapi, "http://127.0.0.1:8096/predict"),
        "loop": (fastapi, "http://127.0.0.1:8096/loop"),
    }


def post(url: str, body: bytes) -> dict:
    request = urllib.request.Request(url, body, {"content-type": "image/jpeg"})
    with urllib.request.urlopen(request, timeout=10) as answer:
        return json.loads(answer.read())


class Server:
    """A server that runs while it is measured."""

    def __init__(self, command: list[str], url: str, body: bytes) -> None:
        self.url = url
        log = subprocess.DEVNULL
        self.process = subprocess.Popen(command, cwd=HERE, stdout=log, stderr=log, start_new_session=True)
        end = time.monotonic() + 60
        while True:
            try:
                post(url, body)
                return
            except (urllib.error.URLError, ConnectionError, TimeoutError):
                if time.monotonic() > end or self.process.poll() is not None:
                    self.stop()
                    raise
                time.sleep(0.2)

    def stop(self) -> None:
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGTERM)
            try:
                self.process.wait(10)
            except subprocess.TimeoutExpired:
                os.killpg(self.process.pid, signal.SIGKILL)
                self.process.wait()


def rate(url: str, file: Path, connections: int, seconds: float) -> tuple[float, float]:
    """Requests per second, and the median of their times in ms. Every answer must be 200."""
    command = ["hey", "-c", str(connections), "-z", f"{seconds}s", "-m", "POST", "-D", str(file)]
    command += ["-T", "image/jpeg", url]
    out = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    statuses = re.findall(r"\[(\d+)\]\s+(\d+) responses", out)
    if [code for code, _ in statuses] != ["200"]:
        sys.exit(f"{url}: {statuses}\n{out[-600:]}")
    middle = re.search(r"50%+ in ([\d.]+) secs", out)
    return float(re.search(r"Requests/sec:\s+([\d.]+)", out).group(1)), float(middle.group(1)) * 1e3


def same(ours: dict, theirs: dict) -> bool:
    """The same signs at the same places: kinds alike, boxes within half a pixel."""
    ours, theirs = ours["signs"], theirs["signs"]
    near = lambda a, b: max(abs(x - y) for x, y in zip(a, b)) < 0.5  # noqa: E731
    pairs = zip(ours, theirs)
    return len(ours) == len(theirs) and all(a["kind"] == b["kind"] and near(a["box"], b["box"]) for a, b in pairs)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=5, help="of load for each picture, each round")
    parser.add_argument("--connections", type=int, default=32)
    parser.add_argument("--binary", type=Path, default=BIN)
    args = parser.parse_args()
    if not args.binary.exists():
        sys.exit(f"there is no {args.binary}: cargo build --release")
    bodies = {count: picture(count) for count in COUNTS}
    rates = {name: {count: [] for count in COUNTS} for name in servers(args.binary)}
    times = {name: {count: [] for count in COUNTS} for name in rates}
    answers = {}
    with tempfile.TemporaryDirectory() as folder:
        files = {count: Path(folder) / f"{count}.jpg" for count in COUNTS}
        for count, file in files.items():
            file.write_bytes(bodies[count])
        for turn in range(args.rounds):
            for name, (command, url) in servers(args.binary).items():
                print(f"round {turn + 1}: {name} ...", file=sys.stderr)
                server = Server(command, url, bodies[1])
                try:
                    answers[name] = {count: post(url, body) for count, body in bodies.items()}
                    rate(url, files[1], args.connections, min(2, args.seconds))
                    for count, file in files.items():
                        one, middle = rate(url, file, args.connections, args.seconds)
                        rates[name][count].append(one)
                        times[name][count].append(middle)
                finally:
                    server.stop()
    for count in COUNTS:
        alike = all(same(answers["rserve"][count], answers[name][count]) for name in ("fastapi", "loop"))
        found = len(answers["rserve"][count]["signs"])
        print(f"{count} signs drawn: {found} found, {'the same answers' if alike else 'OTHER ANSWERS'}")
    names = " | ".join(f"{name}, requests/s" for name in rates)
    print(f"\n| signs | {names} | rserve is, of FastAPI | of the loop | p50, ms |")
    print("|---|" + "---|" * (len(rates) + 3))
    for count in COUNTS:
        line = " | ".join(f"{statistics.median(rates[name][count]):,.0f}" for name in rates)
        ours = rates["rserve"][count]
        ratios = [statistics.median(a / b for a, b in zip(ours, rates[name][count])) for name in ("fastapi", "loop")]
        middles = ", ".join(f"{statistics.median(times[name][count]):.1f}" for name in rates)
        print(f"| {count} | {line} | {ratios[0]:.2f}x | {ratios[1]:.2f}x | {middles} |")


if __name__ == "__main__":
    main()
