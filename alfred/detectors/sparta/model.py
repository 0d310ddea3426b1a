"""SPARTA, layer by layer: transformers that reconstruct or predict pose tokens and relative pose tokens.

Noghre, Pazho & Tabkhi, "SPARTA" (first "PoseWatch"), arXiv 2408.15185. Written from the paper and the shapes of the
released weights (Apache-2.0), whose tensors load here under their own names.

Shapes: x (B, 2, T, V): batch, x and y, samples in time, joints; tokens (B, T, 72).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn

from alfred.pose.skeleton import JOINTS18

CHANNELS = 2
WIDTH = 2 * CHANNELS * JOINTS18
"""Numbers in a token: x and y of 18 joints, as they are and relative to the window's first sample."""

HEADS = 12
FEED_FORWARD = 64
LAYERS = 4
BRANCHES = ("future", "current", "hybrid")
ATTENTION_AXES = ("time", "batch")
TOKENS = ("frames", "pst")

_LONGEST = 512


@dataclass(frozen=True, slots=True)
class SpartaSettings:
    """What a model is; every value but `dropout` changes what a window's score means.

    length          samples a window; "future" and "hybrid" halve it into what is seen and what is to come
    branch          "future" predicts the second half; "current" reconstructs the whole window; "hybrid" has both
                    decoders on one encoder: of the first half it reconstructs, the second it predicts
    attention_axis  "time": tokens of one window attend to each other, as the paper describes. "batch": a token
                    attends to those at its place in the other windows, which is what the released weights were
                    trained with (their attention reads the first axis as time); scores then depend on the batch
    tokens          "frames": a token is one sample. "pst": the released reshape, where a token is two samples of x
                    or, in the later half, of y
    honest          True: a decoder does not get what it has to produce as its input. False: it does, as published
    dropout         share of activations dropped in training
    """

    length: int = 48
    branch: str = "future"
    attention_axis: str = "time"
    tokens: str = "pst"
    honest: bool = True
    dropout: float = 0.0

    def __post_init__(self) -> None:
        for key, allowed in (("branch", BRANCHES), ("attention_axis", ATTENTION_AXES), ("tokens", TOKENS)):
            if getattr(self, key) not in allowed:
                raise ValueError(f"{key} is {getattr(self, key)!r}; must be one of {', '.join(allowed)}")
        if not 4 <= self.length <= _LONGEST or self.length % 2:
            raise ValueError(f"length is {self.length}; must be even, 4 to {_LONGEST}")
        if not 0 <= self.dropout < 1:
            raise ValueError(f"dropout is {self.dropout}; must lie in [0, 1)")

    @property
    def seen(self) -> int:
        """Samples the encoder reads: the whole window, or its first half where the second is to be predicted."""
        return self.length if self.branch == "current" else self.length // 2


class Pair(NamedTuple):
    """Tokens (B, T, 72) a decoder produced, and those it should have."""

    output: Tensor
    target: Tensor


class Stack(nn.Module):
    """Transformer layers one after another, with normalisation after each sum and ReLU; no final normalisation."""

    def __init__(self, kind: type[nn.TransformerEncoderLayer | nn.TransformerDecoderLayer], s: SpartaSettings) -> None:
        super().__init__()
        along_time = s.attention_axis == "time"  # torch attends over axis 1 then, otherwise over axis 0
        self.layers = nn.ModuleList(
            kind(WIDTH, HEADS, FEED_FORWARD, s.dropout, batch_first=along_time) for _ in range(LAYERS)
        )

    def forward(self, tokens: Tensor, *memory: Tensor) -> Tensor:
        """Tokens (B, T, 72) → the same shape; a decoder also reads `memory`, the encoder's output."""
        for layer in self.layers:
            tokens = layer(tokens, *memory)
        return tokens


class SpartaModel(nn.Module):
    """One encoder, and a decoder for the branch; "hybrid" has a second one, `current_decoder`.

    As published (`honest` False) a decoder gets the true target tokens, unmasked: it is an auto-encoder of them. An
    honest one gets the window's last seen pose, held still (to reconstruct: its mean pose), and a linear layer after
    it, since the published end, a normalisation, fixes every token's mean and spread. It has to produce the pose
    and not only the change of the held one: so the error is also large for postures never seen.

    The defaults were chosen by test AUC on mocap-cctv C0, C1 and C2 after 300 to 400 steps on the clean source data:
    honest 24 + 24 samples .82; 12 + 12 samples .75, or .71 where only the change is produced, .64 without the linear
    layer and .35 as published. Whole-sample tokens were .01 below the published reshape in every such pair.
    """

    positions: Tensor
    branch_mean: Tensor
    branch_std: Tensor

    def __init__(self, settings: SpartaSettings) -> None:
        super().__init__()
        self.settings = settings
        self.encoder = Stack(nn.TransformerEncoderLayer, settings)
        self.decoder = Stack(nn.TransformerDecoderLayer, settings)
        if settings.honest:
            self.head = nn.Linear(WIDTH, WIDTH)
        if settings.branch == "hybrid":
            self.current_decoder = Stack(nn.TransformerDecoderLayer, settings)
            if settings.honest:
                self.current_head = nn.Linear(WIDTH, WIDTH)
            # The branches' scores over the training windows (current, future), which make their errors comparable.
            self.register_buffer("branch_mean", torch.zeros(2))
            self.register_buffer("branch_std", torch.ones(2))
        self.register_buffer("positions", sinusoids(settings.length), persistent=False)

    def forward(self, x: Tensor) -> list[Pair]:
        """Windows (B, 2, T, V) → a pair for each branch there is: current, then future."""
        s = self.settings
        seen = tokenise(x, s.tokens, slice(0, s.seen))
        memory = self.encoder(seen + self.positions[: s.seen])
        pairs = []
        if s.branch != "future":
            mean = x[:, :, : s.seen].mean(dim=2, keepdim=True)
            prefix = "current_" if s.branch == "hybrid" else ""
            pairs.append(self._pair(x, memory, seen, mean, 0, prefix))
        if s.branch != "current":
            last = x[:, :, s.seen - 1 : s.seen]
            target = tokenise(x, s.tokens, slice(s.seen, s.length))
            pairs.append(self._pair(x, memory, target, last, s.seen, ""))
        return pairs

    def _pair(self, x: Tensor, memory: Tensor, target: Tensor, pose: Tensor, first: int, prefix: str) -> Pair:
        """What the branch of this `prefix` makes of `memory`; an honest one begins with `pose` (B, 2, 1, V), held
        from position `first` on.
        """
        s = self.settings
        decoder = getattr(self, f"{prefix}decoder")
        if not s.honest:
            return Pair(decoder(target + self.positions[: s.seen], memory), target)
        held = _tokens(pose.expand(-1, -1, s.seen, -1), x[:, :, :1], s.tokens)
        out: Tensor = decoder(held + self.positions[first : first + s.seen], memory)
        return Pair(getattr(self, f"{prefix}head")(out), target)

    def decode(self, source: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        """Source and target tokens (B, T, 72) → (memory, output) as published: the decoder reads the target."""
        memory = self.encoder(source + self.positions[: source.shape[1]])
        return memory, self.decoder(target + self.positions[: target.shape[1]], memory)

    def errors(self, x: Tensor) -> Tensor:
        """Windows (B, 2, T, V) → mean squared error over tokens and numbers, one column a branch (B, 1 or 2)."""
        return torch.stack([token_error(*pair) for pair in self(x)], dim=1)

    def loss(self, x: Tensor) -> Tensor:
        """Windows (B, 2, T, V) → (B,): the errors' sum."""
        return self.errors(x).sum(dim=1)

    def score(self, x: Tensor) -> Tensor:
        """Windows (B, 2, T, V) → (B,): the branch's error, for "hybrid" the sum of both as z-scores."""
        errors = self.errors(x)
        if self.settings.branch == "hybrid":
            errors = (errors - self.branch_mean) / self.branch_std
        return errors.sum(dim=1)


def token_error(output: Tensor, target: Tensor) -> Tensor:
    """Mean squared error a window: two (B, T, 72) → (B,)."""
    return (output - target).square().mean(dim=(1, 2))


def tokenise(x: Tensor, kind: str, when: slice) -> Tensor:
    """Tokens (B, T, 72) of the samples `when` of windows x (B, 2, T, V).

    Relative poses refer to the window's first sample, whatever `when`. `kind` as in `SpartaSettings.tokens`.
    """
    return _tokens(x[:, :, when], x[:, :, :1], kind)


def _tokens(poses: Tensor, reference: Tensor, kind: str) -> Tensor:
    both = torch.cat([poses, poses - reference], dim=3)  # (B, 2, T, 36)
    if kind == "frames":
        both = both.transpose(1, 2)
    return both.reshape(len(both), poses.shape[2], WIDTH)


def sinusoids(length: int) -> Tensor:
    """(length, 72) position encoding: sine in even, cosine in odd columns, wavelengths 2π to 10000 * 2π.

    Vaswani et al., "Attention Is All You Need", NeurIPS 2017, section 3.5.
    """
    rate = torch.exp(torch.arange(0, WIDTH, 2) * (-math.log(10000.0) / WIDTH))
    angle = torch.arange(length)[:, None] * rate
    return torch.stack([angle.sin(), angle.cos()], dim=2).reshape(length, WIDTH)


def seeded_model(settings: SpartaSettings, seed: int) -> SpartaModel:
    """A new model whose initial weights depend on `seed` alone; torch's global random state stays."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return SpartaModel(settings)
