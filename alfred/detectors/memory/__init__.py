"""Nearest neighbours over normalised windows: what was seen and called normal is remembered; no gradients."""
