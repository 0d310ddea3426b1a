"""The memory: windows → voters, the distance between two windows, exact search, and a store that stays bounded.

A window becomes one short vector and one vote a joint (`Embedding`). Two windows differ by the mean squared
difference of their joints, weighted by both votes (`nearest`). The score of a window is its mean distance to its k
nearest neighbours over a power of *their* distance to neighbours of their own: far from what is remembered, for a
place where memories lie that densely. The idea of a nearest-neighbour memory that grows with confirmed false positives
follows Doshi & Yilmaz 2020 ("Continual learning for anomaly detection in surveillance videos", arXiv 2004.07941);
embedding, distance and density correction are this project's.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from alfred.pose.skeleton import JOINTS18

Array = npt.NDArray[np.float32]
Keys = npt.NDArray[np.float64]

CONFIRMED = "confirmed"
PARTS = ("base", "camera", CONFIRMED)
"""Where a memory came from: the first fit, later slices, single windows that people called normal."""

FAR = 1e3
"""Distance of two windows with no joint that both see; typical ones lie between 0.1 and 3."""

_MARGIN = 8  # candidates beyond those wanted: fast search rounds, and near ties may change places
_SEEN = 1e-3 * JOINTS18  # votes shared by two windows, below which they have nothing in common
_NOTHING = 1e-9  # mean vote of a window in which no joint is seen
_SMALLEST_RADIUS = 1e-3
_CHUNK = 512  # windows searched at once


@dataclass(frozen=True, slots=True)
class MemorySettings:
    """`capacity` windows a part (`confirmed_capacity` of the last); `components` per coordinate and joint.

    `whitening` is the power of a dimension's deviation that it is divided by (0 none, 1 all). `neighbours` k are
    averaged; `density` is the power of the correction, `density_rank` which neighbour of a memory gives its radius. A
    joint's vote is the mean over the window of confidence ** `confidence_power`. `place`, `scale` and `speed` > 0 add a
    voter each, with that many votes. Raises ValueError for what cannot be.
    """

    capacity: int = 2048
    confirmed_capacity: int = 1024
    components: int = 4
    whitening: float = 0.5
    neighbours: int = 5
    density: float = 0.75
    density_rank: int = 30
    confidence: bool = True
    confidence_power: float = 3.0
    place: float = 0.0
    scale: float = 0.0
    speed: float = 0.0

    def __post_init__(self) -> None:
        counts = (self.capacity, self.confirmed_capacity, self.components, self.neighbours, self.density_rank)
        powers = (self.whitening, self.density, self.confidence_power, self.place, self.scale, self.speed)
        if not all(type(count) is int and 1 <= count <= 1_000_000 for count in counts):
            raise ValueError(f"{self}: sizes and counts are whole and lie between 1 and a million")
        if type(self.confidence) is not bool:
            raise ValueError(f"{self}: confidence is true or false")
        if not all(0 <= power <= 100 for power in powers):
            raise ValueError(f"{self}: powers and votes lie between 0 and 100")

    @property
    def needs_place(self) -> bool:
        """Whether windows must carry `WindowSpec.place`."""
        return self.place > 0 or self.scale > 0

    @property
    def channels(self) -> int:
        """C of the windows it reads."""
        return 2 + self.confidence + 3 * self.needs_place

    def limit(self, part: int) -> int:
        """Windows the part may hold."""
        return self.confirmed_capacity if PARTS[part] == CONFIRMED else self.capacity


@dataclass(frozen=True, slots=True)
class Voters:
    """n windows as V voters of F numbers each, and how much each may say.

    values  (n, V, F)  float32
    votes   (n, V)     float32  0 = says nothing
    """

    values: Tensor
    votes: Tensor

    def __len__(self) -> int:
        return len(self.values)

    def at(self, index: Tensor | slice) -> Voters:
        """Those at `index`: positions of any shape, a mask or a slice."""
        return Voters(self.values[index], self.votes[index])


@dataclass(frozen=True, slots=True)
class Embedding:
    """How a window becomes voters: joints' paths in the first principal directions over time, dimensions evened out.

    basis  (m, T)  rows are orthonormal directions over time, shared by all joints: each joint stays its own voter
    scale  (V, F)  what each dimension is divided by
    """

    basis: Tensor
    scale: Tensor
    settings: MemorySettings

    @classmethod
    def learn(cls, windows: Tensor, settings: MemorySettings) -> Embedding:
        """From principal directions and deviations of windows (n, C, T, 18): no gradients, no chance."""
        paths = windows[:, :2].transpose(2, 3).reshape(-1, windows.shape[2]).double()
        _, directions = torch.linalg.eigh(paths.T @ paths / len(paths))
        basis = directions.T.flip(0)[: settings.components]
        largest = basis.gather(1, basis.abs().argmax(dim=1, keepdim=True))
        basis = (basis * largest.sign()).float()  # a direction's sign is arbitrary: pin it
        plain = cls(basis, torch.ones(1, 1, device=windows.device), settings)
        deviation = plain(windows).values.double().std(dim=0, correction=0)
        joints = deviation[:JOINTS18] ** settings.whitening
        # Additional voters are in units of their own, so all of the deviation goes; and where only k of F numbers are
        # in use, those are stretched so that their mean square over all F is 1.
        used = (deviation[JOINTS18:] > 0).double().mean(dim=1, keepdim=True)
        scale = torch.cat([joints, deviation[JOINTS18:] * used.sqrt()])
        return replace(plain, scale=torch.where(scale > 0, scale, 1.0).float())

    def __call__(self, windows: Tensor) -> Voters:
        """(n, C, T, 18) → n voters."""
        n, _, length, joints = windows.shape
        paths = windows[:, :2].transpose(2, 3).reshape(-1, length)
        values = (paths @ self.basis.T).reshape(n, 2, joints, -1).transpose(1, 2).reshape(n, joints, -1)
        if self.settings.confidence:
            votes = (windows[:, 2].clamp(0, 1) ** self.settings.confidence_power).mean(dim=1)
        else:
            votes = torch.ones(n, joints, device=windows.device)
        # Votes are relative to the window's mean. Where no joint is seen at all there is nothing to go by but the
        # coordinates as they are.
        mean = votes.mean(dim=1, keepdim=True)
        votes = torch.where(mean > _NOTHING, votes / mean.clamp_min(_NOTHING), 1.0)
        for numbers, weight in self._additional(windows):
            padded = torch.zeros(n, 1, values.shape[2], device=values.device)
            padded[:, 0, : numbers.shape[1]] = numbers
            values = torch.cat([values, padded], dim=1)
            votes = torch.cat([votes, torch.full((n, 1), weight, device=votes.device)], dim=1)
        return Voters(values / self.scale, votes)

    def _additional(self, windows: Tensor) -> list[tuple[Tensor, float]]:
        """(numbers (n, 1 or 2), votes) of each voter that is no joint and switched on."""
        out = []
        at = 2 + self.settings.confidence  # first of the place channels
        if self.settings.place > 0:
            out.append((windows[:, at : at + 2, 0, 0], self.settings.place))
        if self.settings.scale > 0:
            out.append((windows[:, at + 2 : at + 3, 0, 0], self.settings.scale))
        if self.settings.speed > 0:
            body = windows[:, :2].mean(dim=3)
            travelled = (body[:, :, -1] - body[:, :, 0]).norm(dim=1, keepdim=True)
            out.append((torch.log1p(travelled), self.settings.speed))
        return out


def nearest(query: Voters, bank: Voters, count: int) -> tuple[Tensor, Tensor]:
    """The `count` nearest of `bank` to each of n windows: distances (n, count), rising, and indices.

    d² = Σ_v a_v b_v |q_v - m_v|² / F / Σ_v a_v b_v with votes a of the window and b of the memory: a voter that either
    does not see says nothing. `FAR` where they share none. Fast search by one matrix product finds a few more than
    wanted; those are measured again one by one, so that no result depends on what else is in the batch.
    """
    parts = [_nearest(query.at(slice(i, i + _CHUNK)), bank, count) for i in range(0, len(query), _CHUNK)]
    return torch.cat([distance for distance, _ in parts]), torch.cat([index for _, index in parts])


def _nearest(query: Voters, bank: Voters, count: int) -> tuple[Tensor, Tensor]:
    candidates = _squared(query, bank).topk(min(count + _MARGIN, len(bank)), largest=False).indices
    candidates = candidates.sort(dim=1).values  # with a stable sort below: equals keep the order of the bank
    memories = bank.at(candidates)
    votes = query.votes[:, None] * memories.votes
    difference = (query.values[:, None] - memories.values).square().mean(dim=3)
    shared = votes.sum(dim=2)
    squared = (votes * difference).sum(dim=2) / shared.clamp_min(_SEEN)
    distance = torch.where(shared > _SEEN, squared, FAR**2).clamp_max(FAR**2).sqrt()
    order = distance.argsort(dim=1, stable=True)[:, :count]
    return distance.gather(1, order), candidates.gather(1, order)


def _squared(query: Voters, bank: Voters) -> Tensor:
    """All squared distances (n, m) to within rounding: |q|² b + a |m|² - 2 q·m with every vote multiplied in.

    In double precision: people who hardly move differ by less than single precision leaves of such a difference.
    """
    query = Voters(query.values.double(), query.votes.double())
    bank = Voters(bank.values.double(), bank.votes.double())
    size = query.values.shape[2]
    left = torch.cat(
        [
            query.votes,
            query.votes * query.values.square().sum(dim=2),
            (-2 * query.votes[..., None] * query.values).flatten(1),
        ],
        dim=1,
    )
    right = torch.cat(
        [
            bank.votes * bank.values.square().sum(dim=2),
            bank.votes,
            (bank.votes[..., None] * bank.values).flatten(1),
        ],
        dim=1,
    )
    shared = query.votes @ bank.votes.T
    return torch.where(shared > _SEEN, (left @ right.T) / size / shared.clamp_min(_SEEN), FAR**2)


@dataclass(frozen=True, slots=True)
class Bank:
    """What is remembered: m windows as voters, which of `PARTS` each is of, and what decides who stays.

    part    (m,)  int64    index into `PARTS`
    key     (m,)  float64  the windows of a part with the smallest keys stay
    radius  (m,)  float32  distance to the memory's own neighbour of rank `density_rank`
    """

    voters: Voters
    part: Tensor
    key: Tensor
    radius: Tensor
    embedding: Embedding

    def __len__(self) -> int:
        return len(self.part)

    def count(self, part: str) -> int:
        """Memories of that part."""
        return int((self.part == PARTS.index(part)).sum())


def empty_bank(embedding: Embedding) -> Bank:
    """Nothing remembered yet."""
    device, (voters, size) = embedding.basis.device, embedding.scale.shape
    none = torch.zeros(0, device=device)
    nobody = Voters(torch.zeros(0, voters, size, device=device), torch.zeros(0, voters, device=device))
    return Bank(nobody, none.long(), none.double(), none, embedding)


def add(bank: Bank, windows: Array, part: str, keys: Keys) -> Bank:
    """A new bank that also remembers `windows` (n, C, T, 18), each part within its limit; keys (n,) as in `Bank`.

    With keys drawn evenly a part is a reservoir: a fair sample of all windows ever added to it, in one pass. A fair
    sample rather than a coreset, since radii tell dense from sparse and a coreset evens that out.
    """
    number, device = PARTS.index(part), bank.part.device
    limit = bank.embedding.settings.limit(number)
    staying = np.sort(np.argsort(keys, kind="stable")[:limit])  # only these are worth embedding
    new = bank.embedding(torch.from_numpy(np.array(windows[staying])).to(device))
    part_of = torch.cat([bank.part, torch.full((len(new),), number, device=device)])
    key = torch.cat([bank.key, torch.from_numpy(keys[staying]).to(device)])
    kept = torch.arange(len(key), device=device)
    mine = kept[part_of == number]
    best = mine[key[mine].argsort(stable=True)[:limit]]
    kept = torch.cat([kept[part_of != number], best]).sort().values
    values = torch.cat([bank.voters.values, new.values])[kept]
    votes = torch.cat([bank.voters.votes, new.votes])[kept]
    unknown = torch.full((len(new),), torch.nan, device=device)
    radius = torch.cat([bank.radius, unknown])[kept]
    if part != CONFIRMED:  # those are no neighbours to anyone, so nobody else's radius changes
        radius = torch.full_like(radius, torch.nan)
    return _with_radii(replace(bank, voters=Voters(values, votes), part=part_of[kept], key=key[kept], radius=radius))


def _with_radii(bank: Bank) -> Bank:
    """The bank with the radii that are NaN found: the distance to the neighbour of rank `density_rank`.

    Confirmed memories are no neighbours here: some hundred windows of one event lie close to each other, and a small
    radius would make what is merely similar to them look stranger than before.
    """
    open_ = bank.radius.isnan()
    confirmed = bank.part == PARTS.index(CONFIRMED)
    others = bank.voters.at(~confirmed)
    rank = min(bank.embedding.settings.density_rank, len(others) - 1)
    if rank < 1:
        return replace(bank, radius=torch.where(open_, 1.0, bank.radius))
    distance, _ = nearest(bank.voters.at(open_), others, rank + 1)
    # One of the others is its own nearest, at distance 0; a confirmed memory is not among them.
    found = torch.where(confirmed[open_], distance[:, rank - 1], distance[:, rank])
    radius = bank.radius.clone()
    radius[open_] = found.clamp_min(_SMALLEST_RADIUS)
    return replace(bank, radius=radius)


def scores(bank: Bank, windows: Tensor) -> Tensor:
    """(n, C, T, 18) → (n,): mean distance to the k nearest over (mean radius of those) ** density."""
    settings = bank.embedding.settings
    distance, index = nearest(bank.embedding(windows), bank.voters, min(settings.neighbours, len(bank)))
    return distance.mean(dim=1) / bank.radius[index].mean(dim=1) ** settings.density
