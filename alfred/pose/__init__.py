"""Poses of people: tracks, skeleton, windows, segments, file formats, extractors. Runs without Django."""
