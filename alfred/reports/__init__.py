"""Reports as data → page, CSV. Runs without Django: services hand in plain numbers."""
