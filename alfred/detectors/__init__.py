"""Detectors score windows of poses: one folder a detector, one registry, one Protocol.

Runs without Django.
"""
