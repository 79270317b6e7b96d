"""Cuts the crops of faces as an embedder takes them."""

import math
from typing import NamedTuple

import numpy as np
from PIL import Image

from shared.domain.arrays import Float32, UInt8
from shared.domain.contract import CROP_PX, Contract

# ArcFace's, for a crop of 112 pixels: eyes, nose and corners of the mouth. Pixels have their centers at whole numbers.
_TEMPLATE_PX = 112
_TEMPLATE = ((38.2946, 51.6963), (73.5318, 51.5014), (56.0252, 71.7366), (41.5493, 92.3655), (70.7299, 92.2041))


_LEAST_SAMPLES = 4


class Similarity(NamedTuple):
    """The transform (x, y) -> (a x - b y + left, b x + a y + top)."""

    a: float
    b: float
    left: float
    top: float


def cut_crop(image: Image.Image, box: Float32, points: Float32, contract: Contract) -> Float32:
    """The embedder's input for a face: float32 [3, crop_px, crop_px].

    `box` [4] is x1, y1, x2, y2 and `points` [5, 2] are the landmarks, in pixels.
    """
    if contract.alignment == "box":
        crop = crop_face(image, box, contract.margin_px, contract.crop_px)
    else:
        crop = align_face(image, box, points, contract.crop_px)
    if contract.channels == "bgr":
        crop = np.ascontiguousarray(crop[::-1])
    mean, scale = (np.array(of, np.float32)[:, None, None] for of in (contract.pixel_mean, contract.pixel_scale))
    return crop if not mean.any() and (scale == 1).all() else (crop - mean) / scale


def crop_face(image: Image.Image, box: Float32, margin_px: int, size: int = CROP_PX) -> Float32:
    """The face with its margin, resized as facenet-pytorch does: float32 RGB [3, size, size] in 0..255.

    `margin_px` is counted in the crop. Edges are truncated to whole pixels and clipped to the image.
    """
    x1, y1, x2, y2 = (float(edge) for edge in box)
    margin_x = margin_px * (x2 - x1) / (size - margin_px) / 2
    margin_y = margin_px * (y2 - y1) / (size - margin_px) / 2
    left, top = int(max(x1 - margin_x, 0)), int(max(y1 - margin_y, 0))
    right, bottom = int(min(x2 + margin_x, image.width)), int(min(y2 + margin_y, image.height))
    # A clipped face at the border may be thinner than a pixel.
    left, top = min(left, image.width - 1), min(top, image.height - 1)
    right, bottom = max(right, left + 1), max(bottom, top + 1)
    face = image.crop((left, top, right, bottom)).resize((size, size), Image.Resampling.BILINEAR)
    return _channels_first(face)


def align_face(image: Image.Image, box: Float32, points: Float32, size: int) -> Float32:
    """The face turned, scaled and moved so that its landmarks come closest to ArcFace's: float32 RGB [3, size, size]
    in 0..255. What lies outside the image is black.
    """
    face = _aligned(image, to_source(box, points, size), size, "RGB")
    return _channels_first(face)


def align_gray(image: Image.Image, transform: Similarity, x: int, y: int, size: int) -> UInt8:
    """A square of the aligned crop in gray: uint8 [size, size], from column `x` and row `y` on. `transform` is that of
    `to_source` for the whole crop.

    Of a very large face only some pixels are looked at, evenly spread: 4 by 4 to 7 by 7 for each one of the crop.
    """
    a, b, left, top = transform
    left, top = a * x - b * y + left, b * x + a * y + top
    every = int(math.hypot(a, b)) // _LEAST_SAMPLES
    if every > 1:
        x1, y1, x2, y2 = _looked_at(image, Similarity(a, b, left, top), size)
        width, height = max(1, (x2 - x1) // every), max(1, (y2 - y1) // every)
        within = (x1, y1, min(x1 + width * every, image.width), min(y1 + height * every, image.height))
        if x1 < x2 and y1 < y2:
            image = image.resize((width, height), Image.Resampling.NEAREST, within)
            a, b, left, top = a / every, b / every, (left - x1) / every, (top - y1) / every
    return np.asarray(_aligned(image, Similarity(a, b, left, top), size, "L"))


def _aligned(image: Image.Image, transform: Similarity, size: int, mode: str) -> Image.Image:
    a, b, left, top = transform
    x1, y1, x2, y2 = _looked_at(image, transform, size)
    if x1 >= x2 or y1 >= y2:
        return Image.new(mode, (size, size))
    # Averaged over squares of whole pixels until bilinear interpolation does not skip any.
    step = max(1, int(math.hypot(a, b)))
    part = image.crop((x1, y1, x2, y2)) if step == 1 else image.reduce(step, (x1, y1, x2, y2))
    if part.mode != mode:
        part = part.convert(mode)
    inverse = (a / step, -b / step, (left - x1) / step, b / step, a / step, (top - y1) / step)
    return part.transform((size, size), Image.Transform.AFFINE, inverse, Image.Resampling.BILINEAR)


def _looked_at(image: Image.Image, transform: Similarity, size: int) -> tuple[int, int, int, int]:
    """The part of the image that a crop of this size is made of; empty if it lies outside."""
    a, b, left, top = transform
    corners_x = [a * x - b * y + left for x in (0, size) for y in (0, size)]
    corners_y = [b * x + a * y + top for x in (0, size) for y in (0, size)]
    step = max(1, int(math.hypot(a, b)))
    x1, y1 = max(0, math.floor(min(corners_x)) - step), max(0, math.floor(min(corners_y)) - step)
    x2, y2 = min(image.width, math.ceil(max(corners_x)) + step), min(image.height, math.ceil(max(corners_y)) + step)
    return x1, y1, x2, y2


def to_source(box: Float32, points: Float32, size: int) -> Similarity:
    """The transform from the aligned crop of this size to the image, where pixel k covers k to k + 1.

    Umeyama 1991, "Least-squares estimation of transformation parameters between two point patterns". In the plane and
    without reflections it is the linear regression of complex numbers, in whole float64 operations: the same bits
    everywhere.
    """
    source = [complex(float(x), float(y)) for x, y in points]
    target = [complex(x, y) * (size / _TEMPLATE_PX) for x, y in _TEMPLATE]
    from_middle, to_middle = sum(source) / len(source), sum(target) / len(target)
    spread = sum((point.real - from_middle.real) ** 2 + (point.imag - from_middle.imag) ** 2 for point in source)
    product = sum(
        (there - to_middle) * (here - from_middle).conjugate() for here, there in zip(source, target, strict=True)
    )
    if spread == 0 or product == 0:  # landmarks that say nothing: the box as it is
        x1, y1, x2, y2 = (float(edge) for edge in box)
        side = max(x2 - x1, y2 - y1, 1.0)
        return Similarity(side / size, 0.0, (x1 + x2 - side) / 2, (y1 + y2 - side) / 2)
    turned = spread / product
    # Pixel centers at k + 1/2 here, at k in the landmarks and the template.
    half = complex(0.5, 0.5)
    offset = from_middle + half - turned * (to_middle + half)
    return Similarity(turned.real, turned.imag, offset.real, offset.imag)


def _channels_first(face: Image.Image) -> Float32:
    return np.ascontiguousarray(np.asarray(face, np.float32).transpose(2, 0, 1))
