"""Converts pixels of any Pillow mode to 8-bit RGB: the same conversion for the networks and for thumbnails."""

import numpy as np
from PIL import Image, ImageCms

_WHITE = (255, 255, 255, 255)


def to_rgb(image: Image.Image) -> Image.Image:
    """The image as 8-bit RGB. Transparency becomes white, 16 and 32 bits are scaled, floating point is 0..1 (or
    0..255).
    """
    mode = image.mode
    if mode == "RGB" and "transparency" not in image.info:
        return image
    if mode.startswith("I") or mode == "F":
        return Image.fromarray(_to_8_bit(np.asarray(image)), "L").convert("RGB")
    if mode == "LAB":
        lab, srgb = ImageCms.createProfile("LAB"), ImageCms.createProfile("sRGB")
        converted = ImageCms.profileToProfile(image, lab, srgb, outputMode="RGB")
        assert converted is not None
        return converted
    if mode in ("RGBA", "RGBa", "LA", "La", "PA") or "transparency" in image.info:
        layer = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", layer.size, _WHITE), layer).convert("RGB")
    return image.convert("RGB")


def _to_8_bit(values: np.ndarray) -> np.ndarray:
    top = float(values.max(initial=0))
    if values.dtype.kind == "f":
        scale = 255.0 if top <= 1 else 1.0
    elif values.dtype.itemsize == 2 or 255 < top <= 65535:
        scale = 1 / 257
    else:
        scale = 1.0 if top <= 255 else 255 / (2**31 - 1)
    scaled = np.nan_to_num(values.astype(np.float64) * scale)
    return np.clip(np.rint(scaled), 0, 255).astype(np.uint8)
