"""Decoding, face detection, face selection: arrays in, arrays out."""
