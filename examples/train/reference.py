"""Reference data for rserve's tests: what ONNX Runtime says of two shipped pictures, for every model.

    python examples/train/reference.py       # writes tests/fixtures/reference/<model>-<version>/

Each folder holds input.<name>.npy and output.<name>.npy, float32, batch 2. The pictures go through
the documented preprocessing; a mask or a safety map comes from the upstream model of that version.
"""

import numpy as np
from PIL import Image

import boxes
import imaging
import store

FIXTURES = store.EXAMPLES.parent / "tests" / "fixtures" / "reference"
BOTH = (1, 2)


def pictures(folder: str, side: int, *stems: str) -> np.ndarray:
    files = [next((store.EXAMPLES / "images" / folder).glob(f"{stem}.*")) for stem in stems]
    return np.stack([imaging.tensor(Image.open(file), side) for file in files])


def write(name: str, version: int, **inputs: np.ndarray) -> dict[str, np.ndarray]:
    folder = FIXTURES / f"{name}-{version}"
    folder.mkdir(parents=True, exist_ok=True)
    outputs = store.run(name, version, **inputs)
    for kind, tensors in (("input", inputs), ("output", outputs)):
        for tensor, values in tensors.items():
            np.save(folder / f"{kind}.{tensor}.npy", np.ascontiguousarray(values, np.float32))
    return outputs


def main():
    road = pictures("road", imaging.ROAD_SIDE, "gravel-128", "asphalt-2")
    ground = pictures("landing-spot", imaging.TERRAIN_SIDE, "terrain-01", "terrain-05")
    for version in BOTH:
        mask = write("road-mask", version, image=road)["mask"]
        write("surface", version, image=road, mask=mask)
        safety = write("landing-safety", version, image=ground)["classes"]
        write("landing-spot", version, safety=safety)
    write("surface-small", 1, image=road)
    files = [next((store.EXAMPLES / "images" / "road-signs").glob(f"signs-{stem}.*")) for stem in ("01", "02")]
    photos = [Image.open(file).convert("RGB") for file in files]
    squares = [imaging.padded(photo, imaging.DETECTOR_SIDE) for photo in photos]
    said = write("sign-detector", 1, image=imaging.normalised(np.stack([square for square, _ in squares])))["boxes"]
    cuts = []
    for photo, row, (_, (scale, shift)) in zip(photos, said, squares):
        box = (boxes.found(row)[0][0] - np.tile(shift, 2)) / np.tile(scale, 2)
        cuts.append(imaging.cut(photo, box, imaging.READER_SIDE))
    write("sign-reader", 1, image=imaging.normalised(np.stack(cuts)))


if __name__ == "__main__":
    main()
