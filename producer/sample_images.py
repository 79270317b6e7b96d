"""A sample folder, made from photos in installed packages (both are in the public domain, by NASA and the US Navy)."""

from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from PIL import Image, ImageEnhance, ImageOps

from shared.domain.errors import FaceQueueError

_PERSONS = {
    "collins": ("skimage", "data/astronaut.png"),
    "hopper": ("matplotlib", "mpl-data/sample_data/grace_hopper.jpg"),
}
_NO_PERSON = {
    "coffee": ("skimage", "data/coffee.png"),
    "cat": ("skimage", "data/chelsea.png"),
    "moon": ("skimage", "data/moon.png"),
    "gravel": ("skimage", "data/gravel.png"),
}
_EXIF_ORIENTATION = 0x0112
_TURNED_BACK = {
    3: Image.Transpose.ROTATE_180,
    6: Image.Transpose.ROTATE_90,
    8: Image.Transpose.ROTATE_270,
}
"""By EXIF orientation, how the camera was held: the pixels are stored turned this way."""


def write_sample(folder: Path) -> list[Path]:
    """Writes the sample, with a folder per person, and returns the paths of its files."""
    persons = {name: _open(*source) for name, source in _PERSONS.items()}
    written: list[Path] = []

    def save(path: str, image: Image.Image, **options: Any) -> None:
        target = folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        image.save(target, **options)
        written.append(target)

    variants: dict[str, Callable[[Image.Image], Image.Image]] = {
        "as-is": lambda image: image,
        "mirrored": ImageOps.mirror,
        "darker": lambda image: ImageEnhance.Brightness(image).enhance(0.5),
        "brighter": lambda image: ImageEnhance.Brightness(image).enhance(1.4),
        "smaller": lambda image: ImageOps.contain(image, (256, 256)),
        "gray": ImageOps.grayscale,
    }
    for name, image in persons.items():
        for variant, change in variants.items():
            save(f"{name}/{variant}.jpg", change(image), quality=92)
        for orientation, turn in _TURNED_BACK.items():
            exif = Image.Exif()
            exif[_EXIF_ORIENTATION] = orientation
            save(f"{name}/turned-{orientation}.jpg", image.transpose(turn), quality=92, exif=exif)
    save("both.jpg", _side_by_side(list(persons.values())), quality=92)
    for name, source in _NO_PERSON.items():
        save(f"nobody/{name}.png", _open(*source))
    whole = written[0].read_bytes()
    damaged = folder / "damaged" / "truncated.jpg"
    damaged.parent.mkdir(parents=True, exist_ok=True)
    damaged.write_bytes(whole[: len(whole) // 2])
    copy = folder / "damaged" / "not-an-image.txt"
    copy.write_text("A text among the photographs: it is listed as skipped.\n")
    return [*written, damaged, copy]


def _open(package: str, path: str) -> Image.Image:
    spec = find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise FaceQueueError(
            f"The sample is made from a photo in the package {package}, which is not installed. Install the extra "
            "'sample'."
        )
    return Image.open(Path(spec.submodule_search_locations[0]) / path).convert("RGB")


def _side_by_side(images: list[Image.Image]) -> Image.Image:
    height = min(image.height for image in images)
    scaled = [ImageOps.contain(image, (10_000, height)) for image in images]
    canvas = Image.new("RGB", (sum(image.width for image in scaled), height))
    left = 0
    for image in scaled:
        canvas.paste(image, (left, 0))
        left += image.width
    return canvas
