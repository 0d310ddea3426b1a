"""Video files: probe, decode with PTS, renditions a browser plays. Runs without Django."""
