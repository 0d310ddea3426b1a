"""The shared training loop: hold-out, early stop, going on after a kill."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import torch
from torch import Tensor, nn

from alfred.detectors import resume
from alfred.detectors.base import Cancellation
from alfred.detectors.sparta.detector import Sparta
from alfred.detectors.stg_nf.detector import StgNf
from alfred.detectors.training import TrainingSettings, rate_factor, split, train


def windows(n: int, seed: int = 0) -> npt.NDArray[np.float32]:
    return np.random.default_rng(seed).normal(size=(n, 2, 24, 18)).astype(np.float32)


@pytest.mark.parametrize("n, share", [(100, 0.2), (7, 0.5), (3, 0.1), (10, 0.0)])
def test_the_hold_out_is_one_stretch_and_nothing_is_in_both(n: int, share: float) -> None:
    fit, held = split(n, share, seed=4)
    assert len(held) == int(n * share)
    assert sorted([*fit, *held]) == list(range(n))
    if len(held):
        assert held[-1] - held[0] == len(held) - 1


class Mean(nn.Module):
    """One number that should become the mean of the windows."""

    def __init__(self) -> None:
        super().__init__()
        self.value = nn.Parameter(torch.zeros(1))

    def loss(self, batch: Tensor) -> Tensor:
        return (batch.mean(dim=(1, 2, 3)) - self.value).square()


def test_early_stop_keeps_the_best_weights() -> None:
    """The hold-out sits at 0 and the rest at 1: every step makes it worse, so the first look is the best."""
    data = np.ones((100, 2, 24, 18), np.float32)
    _, held = split(100, 0.2, seed=0)
    data[held] = 0
    settings = TrainingSettings(
        steps=200, learning_rate=0.05, batch=16, flip=False, validation_share=0.2, evaluate_every=5, patience=3
    )
    module = Mean()
    log = train(module, module.loss, data, settings, seed=0)
    assert log.settings["steps_run"] == len(log.losses) == 20  # the best look, then three that are worse
    assert [step for step, _ in log.validation] == [5, 10, 15, 20]
    assert module.value.item() == pytest.approx(5 * 0.05, rel=0.02)  # Adam moves one rate a step
    assert (log.settings["windows"], log.settings["held_out"]) == (80, 20)


def fitted(folder: Path | None, stop_at: int | None = None, path: Path | None = None) -> StgNf:
    detector = StgNf()
    asked = 0

    def cancelled() -> bool:
        nonlocal asked
        asked += 1
        return stop_at is not None and asked > stop_at

    def fit() -> None:
        detector.fit(windows(300), seed=3, steps=60, validation_share=0.1, cancelled=cancelled)

    if folder is None:
        fit()
    else:
        with resume.resumable(folder):
            fit()
    return detector


def test_training_goes_on_after_a_kill_as_if_nothing_had_been(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resume, "EVERY", 10)
    with pytest.raises(Cancellation):
        fitted(tmp_path / "kept", stop_at=35)
    steps: list[int] = []
    detector = StgNf()
    with resume.resumable(tmp_path / "kept"):
        detector.fit(
            windows(300), seed=3, steps=60, validation_share=0.1, progress=lambda done, total, text: steps.append(done)
        )
    assert steps[0] == 31  # step 30 was the last that was kept
    through = fitted(None)
    for mine, other in zip(detector.model.state_dict().values(), through.model.state_dict().values(), strict=True):
        assert torch.equal(mine, other)


def test_a_kept_state_of_another_architecture_is_not_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Same tensors, other settings: along time or across the batch."""
    monkeypatch.setattr(resume, "EVERY", 2)
    fitted_as = {}
    for folder in (tmp_path / "shared", tmp_path / "own"):
        for axis in ("time", "batch"):
            detector = Sparta(length=8, attention_axis=axis)
            with resume.resumable(folder if folder.name == "shared" else folder / axis):
                detector.fit(windows(40)[:, :, :8], seed=0, steps=4)
            fitted_as[folder.name, axis] = detector.model.state_dict()
    for axis in ("time", "batch"):
        pairs = zip(fitted_as["shared", axis].values(), fitted_as["own", axis].values(), strict=True)
        assert all(torch.equal(a, b) for a, b in pairs)


def test_a_kept_state_of_other_data_or_half_a_file_is_not_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resume, "EVERY", 10)
    fitted(tmp_path / "kept")
    first: list[int] = []
    with resume.resumable(tmp_path / "kept"):
        StgNf().fit(windows(300, seed=9), seed=3, steps=20, progress=lambda done, total, text: first.append(done))
    assert first[0] == 1
    (tmp_path / "kept/stage-1.safetensors").write_bytes(b"half")
    again = fitted(tmp_path / "kept")
    through = fitted(None)
    assert torch.equal(next(iter(again.model.parameters())), next(iter(through.model.parameters())))


def test_a_triangular_rate_is_torchs_triangular2_stepped_by_epoch() -> None:
    settings = TrainingSettings(steps=1, learning_rate=2e-3, epochs=30, schedule="triangular", swing=(0.5, 2.0))
    optimiser = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=1.0)
    reference = torch.optim.lr_scheduler.CyclicLR(
        optimiser, base_lr=1e-3, max_lr=4e-3, step_size_up=30 // 8, mode="triangular2"
    )
    for epoch in range(30):
        ours = settings.learning_rate * rate_factor(settings, 11 * epoch + 10, per_epoch=11)
        assert ours == pytest.approx(optimiser.param_groups[0]["lr"])
        optimiser.step()
        reference.step()


def test_epochs_set_the_steps_and_the_rate_falls_by_a_hundredth_each() -> None:
    settings = TrainingSettings(steps=1, learning_rate=0.1, batch=32, epochs=3, schedule="decay")
    module = Mean()
    log = train(module, module.loss, windows(70), settings, seed=0)
    assert len(log.losses) == 3 * 5  # 70 windows and their mirror images in batches of 32
    assert [rate_factor(settings, step, 5) for step in (0, 4, 5, 14)] == pytest.approx([1, 1, 0.99, 0.9801])
