#!/usr/bin/env python3
"""Requests per second and latency of rserve beside its peers: same machine, same models, same picture.

    cargo build --release --example echo --bin rserve
    python3 -m venv .venv && .venv/bin/pip install -r benches/peers/requirements.txt
    .venv/bin/python benches/peers/run.py

Needs `hey` (https://github.com/rakyll/hey, or Debian's package) on the PATH. The servers run one at a time,
in turn, for --rounds rounds; what is printed is the median of the rounds and the ratio of rserve to each
peer. The load generator shares the machine with the server, for all of them alike.
"""

import argparse
import os
import re
import signal
import statistics
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
PHOTO = ROOT / "examples" / "images" / "road" / "gravel-128.jpg"
BIN = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")) / "release"


def servers(python: str) -> dict:
    """By name: the command, its folder, and the URL that is posted to."""
    peers = {
        "rserve": (
            [str(BIN / "rserve"), "run", "pipelines/road.toml", "--listen", "127.0.0.1:8091"],
            ROOT,
            "http://127.0.0.1:8091/road-classification/predict",
        ),
        "fastapi": (
            [python, "-m", "uvicorn", "fastapi_app:app", "--workers", "2", "--port", "8092",
             "--log-level", "warning", "--no-access-log"],
            HERE,
            "http://127.0.0.1:8092/predict",
        ),
        "mosec": (
            [python, "mosec_app.py", "--port", "8093", "--log-level", "warning"],
            HERE,
            "http://127.0.0.1:8093/inference",
        ),
        "echo": ([str(BIN / "examples" / "echo"), "127.0.0.1:8094"], ROOT, "http://127.0.0.1:8094/"),
    }
    return peers


def post(url: str) -> bytes:
    request = urllib.request.Request(url, PHOTO.read_bytes(), {"content-type": "image/jpeg"})
    with urllib.request.urlopen(request, timeout=5) as answer:
        return answer.read()


def wait_until_ready(url: str, seconds: float = 60) -> bytes:
    end = time.monotonic() + seconds
    while True:
        try:
            return post(url)
        except (urllib.error.URLError, ConnectionError, TimeoutError):
            if time.monotonic() > end:
                raise
            time.sleep(0.2)


def hey(url: str, connections: int, seconds: float) -> dict:
    """Requests per second, p50 and p99 in ms, and how many did not answer 200."""
    out = subprocess.run(
        ["hey", "-c", str(connections), "-z", f"{seconds}s", "-m", "POST", "-D", str(PHOTO),
         "-T", "image/jpeg", url],
        capture_output=True, text=True, check=True,
    ).stdout
    rate = float(re.search(r"Requests/sec:\s+([\d.]+)", out).group(1))
    at = {p: float(s) * 1e3 for p, s in re.findall(r"(\d+)%+ in ([\d.]+) secs", out)}
    statuses = {int(code): int(n) for code, n in re.findall(r"\[(\d+)\]\s+(\d+) responses", out)}
    failed = sum(n for code, n in statuses.items() if code != 200)
    failed += sum(int(n) for n in re.findall(r"^\s+\[(\d+)\]\s+(?!\d+ responses)", out, re.M))
    return {"rate": rate, "p50": at.get("50", float("nan")), "p99": at.get("99", float("nan")), "failed": failed}


def measure(name: str, command: list, folder: Path, url: str, seconds: float) -> dict:
    log = subprocess.DEVNULL
    process = subprocess.Popen(command, cwd=folder, stdout=log, stderr=log, start_new_session=True)
    try:
        answer = wait_until_ready(url)
        hey(url, 32, min(3, seconds))
        loaded, alone = hey(url, 32, seconds), hey(url, 1, max(2, seconds / 3))
        return {"answer": answer, "loaded": loaded, "alone": alone}
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=10, help="of load with 32 connections, each round")
    parser.add_argument("--only", nargs="*", help="rserve fastapi mosec echo")
    args = parser.parse_args()
    chosen = {n: s for n, s in servers(sys.executable).items() if not args.only or n in args.only}
    rounds = {name: [] for name in chosen}
    for number in range(args.rounds):
        for name, (command, folder, url) in chosen.items():
            print(f"round {number + 1}: {name} ...", file=sys.stderr)
            rounds[name].append(measure(name, command, folder, url, args.seconds))
    print(f"{'':10}{'requests/s':>12}{'p50 ms':>9}{'p99 ms':>9}{'p50 ms':>10}{'failed':>8}{'rserve is':>12}")
    print(f"{'':10}{'-c 32':>12}{'-c 32':>9}{'-c 32':>9}{'-c 1':>10}")
    medians = {}
    for name, results in rounds.items():
        middle = lambda kind, key: statistics.median(r[kind][key] for r in results)  # noqa: E731
        medians[name] = middle("loaded", "rate")
        failed = sum(r[kind]["failed"] for r in results for kind in ("loaded", "alone"))
        ratio = f"{medians['rserve'] / medians[name]:11.2f}x" if "rserve" in medians else ""
        print(f"{name:10}{medians[name]:12.0f}{middle('loaded', 'p50'):9.1f}{middle('loaded', 'p99'):9.1f}"
              f"{middle('alone', 'p50'):10.2f}{failed:8}{ratio}")
    for name, results in rounds.items():
        print(f"{name:10}{results[0]['answer'].decode(errors='replace').strip()[:200]}")


if __name__ == "__main__":
    main()
