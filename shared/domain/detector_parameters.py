"""The fixed parameters of face detection (MTCNN, as facenet-pytorch runs it) and of the networks' input."""

MIN_FACE_PX = 20
"""Side of the smallest face that the detector looks for, in pixels (facenet-pytorch's default)."""
THRESHOLDS = (0.6, 0.7, 0.7)
"""Probability above which P-, R- and O-net keep a candidate (facenet-pytorch's defaults)."""
PYRAMID_FACTOR = 0.709
"""Scale between two levels of the image pyramid: about sqrt(1/2), so each level has half the pixels of the one before.
"""
CROP_PX = 160
"""Side of the embedder's square input, in pixels."""
PIXEL_MEAN, PIXEL_SCALE = 127.5, 128.0
"""The networks receive (x - PIXEL_MEAN) / PIXEL_SCALE for each 8-bit value x."""
