"""The paper's experiment on labelled slices: the loop of production's core with ground truth in place of people."""
