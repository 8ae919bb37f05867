"""Writes small models as seeds for the fuzzer: the fixtures, and the node tests of the ONNX project.

    python fuzz/seeds.py FOLDER
"""

import hashlib
import pathlib
import sys

LARGEST = 65536


def models():
    fixtures = pathlib.Path(__file__).parent.parent / "tests" / "fixtures"
    for path in sorted(fixtures.rglob("model.onnx")):
        yield path.read_bytes()
    try:
        from onnx.backend.test.loader import load_model_tests
    except ImportError:
        print("onnx is not installed: the fixtures alone")
        return
    for case in load_model_tests(kind="node"):
        yield case.model.SerializeToString()


def main(folder):
    folder = pathlib.Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    for model in models():
        if len(model) <= LARGEST:
            (folder / hashlib.sha256(model).hexdigest()[:16]).write_bytes(model)
    print(f"{len(list(folder.iterdir()))} seeds")


if __name__ == "__main__":
    main(sys.argv[1])
