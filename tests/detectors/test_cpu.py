"""What a detector does with the CPU ends with it."""

from __future__ import annotations

import torch

from alfred.detectors.cpu import lean_cpu


def keeps_denormals() -> bool:
    return bool((torch.full((64,), 1e-30) * 1e-10).all())  # 1e-40 is below the least normal number


def test_one_thread_and_no_denormals_inside_and_as_before_afterwards() -> None:
    threads = torch.get_num_threads()
    assert keeps_denormals()
    with lean_cpu():
        with lean_cpu():
            pass
        assert torch.get_num_threads() == 1 and not keeps_denormals()
    assert torch.get_num_threads() == threads and keeps_denormals()
