"""A memory as named tensors, and back: everything a file says is checked before it is used."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

import torch
from torch import Tensor

from alfred.detectors.memory.model import PARTS, Bank, Embedding, MemorySettings, Voters
from alfred.pose.skeleton import JOINTS18
from alfred.pose.windows import WindowSpec

MAX_LENGTH = 1000
"""Samples of a window; more is no window of a walk past a camera."""


def to_tensors(bank: Bank) -> dict[str, Tensor]:
    """Every tensor of the bank by name."""
    return {
        "values": bank.voters.values,
        "votes": bank.voters.votes,
        "part": bank.part,
        "key": bank.key,
        "radius": bank.radius,
        "basis": bank.embedding.basis,
        "scale": bank.embedding.scale,
    }


def from_tensors(
    tensors: Mapping[str, Tensor], card: Mapping[str, Any], source: str, device: torch.device
) -> tuple[Bank, WindowSpec, dict[str, int]]:
    """(bank, window, windows seen per part) of what `to_tensors` and the card hold.

    Raises ValueError that begins with `source` and names what was expected and found.
    """
    try:
        settings = MemorySettings(**{f.name: card[f.name] for f in fields(MemorySettings)})
        spec = WindowSpec(
            int(card["length"]),
            int(card["stride"]),
            float(card["fps"]),
            float(card["max_gap_s"]),
            confidence=settings.confidence,
            place=settings.needs_place,
        )
        seen = {part: int(card["seen"][part]) for part in PARTS}
        if not 1 <= spec.length <= MAX_LENGTH or spec.stride < 1 or not spec.fps > 0 or min(seen.values()) < 0:
            raise ValueError(f"{spec}, seen {seen}")
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise ValueError(f"{source}: the card's settings are missing or impossible ({error})") from None
    _check(tensors, settings, spec.length, source)
    on = {name: tensor.to(device) for name, tensor in tensors.items()}
    embedding = Embedding(on["basis"], on["scale"], settings)
    bank = Bank(Voters(on["values"], on["votes"]), on["part"], on["key"], on["radius"], embedding)
    for number, part in enumerate(PARTS):
        if bank.count(part) > settings.limit(number):
            raise ValueError(f"{source}: part {part!r} holds {bank.count(part)}, expected <= {settings.limit(number)}")
    return bank, spec, seen


def _check(tensors: Mapping[str, Tensor], settings: MemorySettings, length: int, source: str) -> None:
    m = len(tensors["part"]) if tensors.get("part", torch.zeros(())).dim() == 1 else 0
    voters = JOINTS18 + sum(votes > 0 for votes in (settings.place, settings.scale, settings.speed))
    components = min(settings.components, length)
    shapes: dict[str, tuple[tuple[int, ...], torch.dtype]] = {
        "values": ((m, voters, 2 * components), torch.float32),
        "votes": ((m, voters), torch.float32),
        "part": ((m,), torch.int64),
        "key": ((m,), torch.float64),
        "radius": ((m,), torch.float32),
        "basis": ((components, length), torch.float32),
        "scale": ((voters, 2 * components), torch.float32),
    }
    for name in sorted(shapes.keys() ^ tensors.keys()):
        raise ValueError(f"{source}: tensor {name!r} is {'missing' if name in shapes else 'not known'}")
    if m == 0:
        raise ValueError(f"{source}: the memory is empty, expected at least 1 window")
    for name, (shape, dtype) in shapes.items():
        tensor = tensors[name]
        if tuple(tensor.shape) != shape or tensor.dtype != dtype:
            found = f"{tuple(tensor.shape)} {tensor.dtype}"
            raise ValueError(f"{source}: {name!r} is {found}, expected {shape} {dtype}")
        if not torch.isfinite(tensor).all():
            raise ValueError(f"{source}: {name!r} holds values that are not finite")
    in_range = {"votes": (0.0, 100.0), "part": (0, len(PARTS) - 1), "radius": (1e-6, 1e6), "scale": (1e-30, 1e30)}
    for name, (low, high) in in_range.items():
        if tensors[name].min() < low or tensors[name].max() > high:
            raise ValueError(f"{source}: {name!r} holds values outside {low} to {high}")
