"""Numbers only: rates, thresholds, intervals, sampling, membership.

numpy in, numpy out; no path, row or device.
"""
