"""What a detector does with the CPU ends with it."""

from __future__ import annotations

import pytest
import torch

from alfred.detectors.cpu import lean_cpu


def test_one_thread_and_no_denormals_inside_and_as_before_afterwards() -> None:
    threads = torch.get_num_threads()
    small = torch.full((64,), 1e-30)
    with pytest.raises(KeyError), lean_cpu():
        with lean_cpu():
            pass
        assert torch.get_num_threads() == 1
        assert not (small * 1e-10).any()  # 1e-40 is below the least normal number
        raise KeyError
    assert torch.get_num_threads() == threads
    assert (small * 1e-10).all()
