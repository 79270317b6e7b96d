"""Neighbors, screening of pairs, clustering, corrections of groups, duplicates, calibration, expected false pairs."""
