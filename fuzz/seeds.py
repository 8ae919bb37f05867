"""Writes seeds for the fuzzer: small models (the fixtures, and the node tests of the ONNX project), or pictures.

    python fuzz/seeds.py FOLDER [models|pictures]
"""

import hashlib
import pathlib
import sys

LARGEST = 65536


FIXTURES = pathlib.Path(__file__).parent.parent / "tests" / "fixtures"


def pictures():
    for path in sorted((FIXTURES / "codec" / "pictures").iterdir()):
        if path.suffix != ".ppm":
            yield path.read_bytes()


def models():
    for path in sorted(FIXTURES.rglob("model.onnx")):
        yield path.read_bytes()
    try:
        from onnx.backend.test.loader import load_model_tests
    except ImportError:
        print("onnx is not installed: the fixtures alone")
        return
    for case in load_model_tests(kind="node"):
        yield case.model.SerializeToString()


def main(folder, kind="models"):
    folder = pathlib.Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    for seed in {"models": models, "pictures": pictures}[kind]():
        if len(seed) <= LARGEST:
            (folder / hashlib.sha256(seed).hexdigest()[:16]).write_bytes(seed)
    print(f"{len(list(folder.iterdir()))} seeds")


if __name__ == "__main__":
    main(*sys.argv[1:])
