#!/usr/bin/env python3
"""Time of networks and operations on the CPU: rserve beside ONNX Runtime and rten, as ratios from one run.

    cargo build --release --example infer
    pip install -r benches/peers/requirements.txt      # and torch, torchvision, to make the networks once
    python benches/peers/cpu.py                        # everything: some ten minutes
    python benches/peers/cpu.py --only resnet --batch 1
    python benches/peers/cpu.py --model model.onnx
    python benches/peers/cpu.py --only vit --profile   # what each operator of rserve takes
    python benches/peers/cpu.py --only vit --memory    # how often a run of rserve allocates
    python benches/peers/cpu.py --scaling              # rserve alone, with 1, 2, 4 ... threads

Each runtime is a process of its own with --threads threads. They take turns, a few runs each, until --seconds
are over, so that whatever else the machine does falls on all alike; what is printed is the median of each and
the ratio of rserve's to the others' (below 1: rserve is faster). Outputs are compared with ONNX Runtime's. In
the same run a loop of multiply-adds and a copy show what the machine can do. The networks have random weights;
they and rten are made once, under the target folder. What is missing (torch, rten) is skipped with a word.
"""

import argparse
import math
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

import cpu_models
import numpy as np

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
TARGET = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")).resolve()
CACHE = TARGET / "peers"


class Runtime:
    """A process that runs one model."""

    def __init__(self, command: list, threads: int):
        names = ["RAYON_NUM_THREADS", "RTEN_NUM_THREADS", "OMP_NUM_THREADS"]
        environment = os.environ | dict.fromkeys(names, str(threads))
        self.process = subprocess.Popen([str(word) for word in command], stdin=subprocess.PIPE, text=True,
                                        stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment)
        self.expect("ready")

    def answer(self) -> str:
        line = self.process.stdout.readline()
        if not line:
            error = self.process.stderr.read().strip().splitlines() or ["it ended"]
            raise RuntimeError(error[-1][:160])
        return line.strip()

    def expect(self, word: str) -> None:
        while self.answer() != word:
            pass

    def tell(self, line: str) -> None:
        try:
            self.process.stdin.write(line + "\n")
            self.process.stdin.flush()
        except BrokenPipeError:
            self.answer()

    def give(self, inputs: dict) -> None:
        self.tell("clear")
        for index, (name, array) in enumerate(inputs.items()):
            # Of this runtime alone: it may read it later.
            file = CACHE / f"input-{self.process.pid}-{os.getpid()}-{index}.bin"
            file.write_bytes(array.tobytes())
            self.tell(f"input {name} {array.dtype} {','.join(map(str, array.shape))} {file}")

    def run(self, count: int) -> list:
        self.tell(f"run {count}")
        return [float(word) for word in self.answer().split()]

    def end(self) -> None:
        self.process.kill()
        self.process.communicate()


def serve_onnxruntime(model: str, threads: int) -> None:
    """The process of ONNX Runtime; the same lines as infer.rs reads."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 4
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    inputs = {}
    print("ready", flush=True)
    for line in sys.stdin:
        match line.split():
            case ["clear"]:
                inputs = {}
            case ["input", name, dtype, dims, file]:
                shape = [int(d) for d in dims.split(",")]
                inputs[name] = np.fromfile(file, dtype).reshape(shape)
            case ["run", count]:
                times = []
                for _ in range(int(count)):
                    began = time.perf_counter()
                    session.run(None, inputs)
                    times.append(f"{(time.perf_counter() - began) * 1e6:.1f}")
                print(" ".join(times), flush=True)
            case ["output", index, file]:
                session.run(None, inputs)[int(index)].tofile(file)
                print("written", flush=True)


def difference(path: Path, ours: Runtime, theirs: Runtime) -> float:
    """The greatest difference of the last output that is float32 (a detector's scores), by its greatest element."""
    found = []
    for runtime in (ours, theirs):
        file = CACHE / f"output-{os.getpid()}.bin"
        runtime.tell(f"output {cpu_models.last_floats(path)} {file}")
        runtime.expect("written")
        found.append(np.fromfile(file, np.float32))
    if found[0].shape != found[1].shape:
        return math.inf
    return float(np.abs(found[0] - found[1]).max(initial=0) / max(np.abs(found[1]).max(initial=0), 1e-6))


def measure(runtimes: dict, seconds: float) -> dict:
    """By runtime: the median of its runs in microseconds, in turns."""
    counts, times = {}, {name: [] for name in runtimes}
    for name, runtime in runtimes.items():
        runtime.run(2)
        once = statistics.median(runtime.run(3))
        counts[name] = max(1, min(400, int(seconds / 8 / len(runtimes) * 1e6 / once)))
    until = time.monotonic() + seconds
    while time.monotonic() < until or min(map(len, times.values())) < 5:
        for name, runtime in runtimes.items():
            # Threads of ONNX Runtime look for work for some 40 ms after a run.
            time.sleep(0.06)
            # The first of a turn finds the caches full of another's.
            times[name] += runtime.run(counts[name] + 1)[1:]
    return {name: statistics.median(all) for name, all in times.items()}


def started(path: Path, options, rten: Path | None) -> dict:
    commands = {
        "rserve": [TARGET / options.build / "examples" / "infer", path],
        "ort": [sys.executable, __file__, "--serve", path, "--threads", options.threads],
    }
    if rten:
        commands["rten"] = [rten, path]
    runtimes = {}
    for name, command in commands.items():
        try:
            runtimes[name] = Runtime(command, options.threads)
        except (RuntimeError, OSError) as error:
            print(f"{path.stem}: {name} does not load it: {error}", file=sys.stderr)
    return runtimes


def compare(name: str, path: Path, batch: int, options, rten: Path | None, work: float, peak: float):
    """One line of the table; the ratio to ONNX Runtime, if there is one."""
    runtimes = started(path, options, rten)
    try:
        given = cpu_models.inputs(path, batch)
        for other in list(runtimes):
            try:
                runtimes[other].give(given)
                runtimes[other].run(1)
            except RuntimeError as error:
                print(f"{name}, batch {batch}: {other} fails: {error}", file=sys.stderr)
                runtimes.pop(other).end()
        if "rserve" not in runtimes:
            return None
        times = measure(runtimes, options.seconds)
        ratio = {other: times["rserve"] / times[other] for other in times}
        off = difference(path, runtimes["rserve"], runtimes["ort"]) if "ort" in runtimes else math.nan
        wrong = "" if not off > 1e-3 else f"  outputs differ by {off:.1e}"
        shown = f"{name:28}{batch:6}{times['rserve'] / 1e3:10.3f}"
        shown += "".join(f"{ratio[other]:9.2f}" if other in ratio else f"{'-':>9}" for other in ("ort", "rten"))
        if work:
            rate = 2 * work * batch / times["rserve"] / 1e3
            shown += f"{rate:10.0f}{rate / peak:8.0%}"
        print(shown + wrong, flush=True)
        return ratio.get("ort")
    finally:
        for runtime in runtimes.values():
            runtime.end()


def profile(path: Path, batch: int, options) -> None:
    runtime = Runtime([TARGET / options.build / "examples" / "infer", path], options.threads)
    runtime.give(cpu_models.inputs(path, batch))
    runtime.run(5)
    runtime.tell("profile 15")
    steps = []
    while (line := runtime.answer()) != "end":
        nanos, step = line.split(" ", 1)
        steps.append((int(nanos) / 1e3, step))
    runtime.end()
    total = sum(micros for micros, _ in steps)
    kinds = {}
    for micros, step in steps:
        kind = kinds.setdefault(step.split(" ", 1)[0], [0, 0.0])
        kind[0] += 1
        kind[1] += micros
    print(f"\n{path.stem}, batch {batch}: {total / 1e3:.3f} ms in {len(steps)} steps")
    for kind, (count, micros) in sorted(kinds.items(), key=lambda item: -item[1][1]):
        print(f"  {micros:10.0f} us {micros / total:6.1%}  {count:4} x {kind}")
    print("  slowest:")
    for micros, step in sorted(steps, reverse=True)[:20]:
        print(f"  {micros:10.0f} us  {step[:150]}")


def memory(path: Path, batch: int, options) -> None:
    runtime = Runtime([TARGET / options.build / "examples" / "infer", path], options.threads)
    runtime.give(cpu_models.inputs(path, batch))
    runtime.tell("allocations")
    count, size = map(int, runtime.answer().split())
    runtime.end()
    print(f"{path.stem:28}{batch:6}{count:10} allocations{size / 1e6:10.2f} MB", flush=True)


def scaling(path: Path, batch: int, options) -> None:
    """Times of more and more threads by that of one, each in a process of its own, in turns."""
    counts = [1]
    while counts[-1] * 2 <= options.scaling:
        counts.append(counts[-1] * 2)
    runtimes = {count: Runtime([TARGET / options.build / "examples" / "infer", path], count) for count in counts}
    try:
        for runtime in runtimes.values():
            runtime.give(cpu_models.inputs(path, batch))
        times = measure(runtimes, options.seconds)
        shown = "".join(f"{times[1] / times[count]:8.2f}" for count in counts)
        print(f"{path.stem:28}{batch:6}{times[1] / 1e3:10.3f} ms{shown}", flush=True)
    finally:
        for runtime in runtimes.values():
            runtime.end()


def build_rten() -> Path | None:
    target = CACHE / "rten"
    command = ["cargo", "build", "--release", "--quiet", "--manifest-path", HERE / "rten" / "Cargo.toml",
               "--target-dir", target]
    try:
        subprocess.run(command, check=True)
    except (OSError, subprocess.CalledProcessError) as error:
        print(f"rten is left out, it could not be built: {error}", file=sys.stderr)
        return None
    return target / "release" / "rserve-peer-rten"


def models(options) -> list:
    """Name, file, multiply-adds of a batch of one."""
    if options.model:
        return [(path.stem, path, 0) for path in options.model]
    makers = {name: (make, 0) for name, make in cpu_models.networks().items()} | cpu_models.operations()
    found = []
    for name, (make, work) in makers.items():
        if options.only and not any(part in name for part in options.only):
            continue
        path = CACHE / ("".join(c if c.isalnum() else "-" for c in name) + ".onnx")
        if not path.exists():
            print(f"making {path.name} ...", file=sys.stderr)
            try:
                make(path)
            except Exception as error:  # noqa: BLE001 - whatever torch says, the others are measured
                path.unlink(missing_ok=True)
                print(f"{name} is left out: {str(error).splitlines()[0][:200]}", file=sys.stderr)
                continue
        found.append((name, path, work))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="*", help="parts of names of networks and operations")
    parser.add_argument("--model", nargs="*", type=Path, help="measure these files instead")
    parser.add_argument("--batch", nargs="*", type=int, default=[1, 8])
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seconds", type=float, default=5, help="for each model and batch")
    parser.add_argument("--profile", action="store_true", help="print what rserve's operators take, and no ratios")
    parser.add_argument("--memory", action="store_true", help="print how often a run allocates, and no ratios")
    parser.add_argument("--scaling", nargs="?", type=int, const=os.cpu_count() or 1, metavar="MOST",
                        help="print how much faster more threads are, up to so many [one a core], and no ratios")
    parser.add_argument("--build", default="release", help="the folder of the target folder that has `infer`")
    parser.add_argument("--no-rten", action="store_true")
    parser.add_argument("--serve", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        serve_onnxruntime(options.serve, options.threads)
        return
    CACHE.mkdir(parents=True, exist_ok=True)
    chosen = models(options)
    wanted = [(*m, b) for m in chosen for b in options.batch if b == 1 or cpu_models.can_batch(m[1])]
    try:
        for asked, tell in [(options.profile, profile), (options.memory, memory), (options.scaling, scaling)]:
            if asked:
                for _, path, _, batch in wanted:
                    tell(path, batch, options)
                return
        table(wanted, options)
    finally:
        for file in CACHE.glob(f"*put-*{os.getpid()}*.bin"):
            file.unlink()


def table(wanted: list, options) -> None:
    rten = None if options.no_rten else build_rten()
    first = Runtime([TARGET / options.build / "examples" / "infer", wanted[0][1]], options.threads)
    first.tell("roofline")
    peak, copied = map(float, first.answer().split())
    first.end()
    print(f"{options.threads} threads: {peak:.0f} GFLOP/s by multiply-adds, {copied:.1f} GB/s read and written by a copy")
    print(f"{'':28}{'batch':>6}{'rserve ms':>10}{'/ ort':>9}{'/ rten':>9}{'GFLOP/s':>10}{'of peak':>8}")
    ratios = {"networks": {}, "operations": {}}
    for name, path, work, batch in wanted:
        ratio = compare(name, path, batch, options, rten, work, peak)
        if ratio:
            kind = "operations" if name in cpu_models.operations() else "networks"
            ratios[kind][f"{name}, batch {batch}"] = ratio
    for kind, found in ratios.items():
        if found:
            mean = math.exp(statistics.fmean(map(math.log, found.values())))
            worst = max(found, key=found.get)
            print(f"{kind}: geometric mean {mean:.2f} of ONNX Runtime's time over {len(found)}, "
                  f"the worst {found[worst]:.2f} ({worst})")


if __name__ == "__main__":
    main()
