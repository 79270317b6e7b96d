"""The baseline: facenet-pytorch itself, run on single images."""

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from facenet_pytorch import MTCNN
from facenet_pytorch.models.utils.detect_face import extract_face
from PIL import Image

from shared.config.settings import Settings
from shared.domain.contract import KNOWN_WEIGHTS
from worker.models.torch_backend import StandardizedEmbedder
from worker.models.weights_store import find_weights, read_weights

# The baseline's crop truncates edges to whole pixels. If an edge is this close to a whole pixel, the last bits of the
# box decide which one it becomes.
KNIFE_EDGE_PX = 0.001


@dataclass(frozen=True)
class BaselineFaces:
    """What facenet-pytorch finds in one image."""

    boxes: Any
    probabilities: Any
    landmarks: Any
    embeddings: Any


@cache
def baseline_detector() -> MTCNN:
    return MTCNN(image_size=160, margin=0, min_face_size=20, thresholds=[0.6, 0.7, 0.7], factor=0.709, keep_all=True)


@cache
def baseline_embedder() -> Any:
    source = find_weights("casia-webface", KNOWN_WEIGHTS["casia-webface"], Settings(_env_file=None))
    return StandardizedEmbedder(read_weights(source, "casia-webface")).resnet


def baseline_faces(image: Image.Image) -> BaselineFaces:
    """All faces of an upright RGB image, one by one."""
    torch.set_num_threads(1)
    boxes, probabilities, landmarks = baseline_detector().detect(image, landmarks=True)
    if boxes is None:
        return BaselineFaces(np.empty((0, 4)), np.empty(0), np.empty((0, 5, 2)), np.empty((0, 512)))
    embeddings = []
    for box in boxes:
        face = (extract_face(image, box, image_size=160, margin=0) - 127.5) / 128.0
        with torch.inference_mode():
            embeddings.append(baseline_embedder()(face[None])[0].numpy())
    return BaselineFaces(
        boxes.astype(float), probabilities.astype(float), landmarks.astype(float), np.array(embeddings)
    )


def on_a_knife_edge(box: Any, width: int, height: int) -> bool:
    """Whether an edge of the baseline's crop lies within 0.001 px of a whole pixel."""
    edges = [max(box[0], 0), max(box[1], 0), min(box[2], width), min(box[3], height)]
    inside = [edge for edge, limit in zip(edges, (0, 0, width, height), strict=True) if edge != limit]
    return any(abs(edge - round(edge)) < KNIFE_EDGE_PX for edge in inside)


def compare(path: Path, ours: Any, networks: Any) -> tuple[list[str], int]:
    """Differences beyond the tolerances, and how many faces lie on a knife edge."""
    from worker.vision.face_crops import crop_face
    from worker.vision.integral_image import IntegralImage
    from worker.vision.mtcnn_cascade import detect_faces

    baseline = baseline_faces(ours)
    found = detect_faces(IntegralImage(np.asarray(ours)), networks)
    if len(found) != len(baseline.boxes):
        return [f"{path.name}: {len(found)} faces instead of {len(baseline.boxes)}"], 0
    wrong, knife_edges = [], 0
    theirs = zip(baseline.boxes, baseline.probabilities, baseline.landmarks, baseline.embeddings, strict=True)
    for box, probability, points, embedding in theirs:
        k = int(np.abs(found.boxes - box).sum(axis=1).argmin())
        if np.abs(found.boxes[k] - box).max() > 0.01:
            wrong.append(f"{path.name}: box {found.boxes[k]} instead of {box}")
        if np.abs(found.landmarks[k] - points).max() > 0.01:
            wrong.append(f"{path.name}: landmarks {found.landmarks[k].tolist()} instead of {points.tolist()}")
        if abs(found.probabilities[k] - probability) > 1e-4:
            wrong.append(f"{path.name}: probability {found.probabilities[k]} instead of {probability}")
        mine = networks.embed(crop_face(ours, found.boxes[k], 0)[None])[0]
        edge = on_a_knife_edge(box, ours.width, ours.height)
        knife_edges += edge
        if float(mine @ embedding) < (0.99 if edge else 0.9999):
            wrong.append(f"{path.name}: cosine {float(mine @ embedding)}")
    return wrong, knife_edges


def overlap(a: Any, b: Any) -> float:
    """Intersection over union of two boxes."""
    width, height = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    shared = max(0.0, width) * max(0.0, height)
    return float(shared / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - shared))
