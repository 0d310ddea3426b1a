"""TSGAD's pose branch, layer by layer: a graph-attentive variational autoencoder (GA-VAE) over windows of poses.

Noghre, Danesh Pazho & Tabkhi, "An Exploratory Study on Human-Centric Video Anomaly Detection through Variational
Autoencoders and Trajectory Prediction", WACV 2024 (arXiv 2406.15395). Written from facts about the layers;
the 766 tensors have the published names and shapes. The blocks are in `alfred.detectors.spatial_graph`.

Shapes: x (B, 2, T, V): batch, x and y, samples in time, joints. Latent z (B, D), D = 4 · latent · T/6 · V.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from alfred.detectors.spatial_graph import SHRINKS, GraphDecoder, GraphEncoder
from alfred.pose.skeleton import JOINTS18

CHANNELS = 2
LIKELIHOODS = ("gaussian", "bernoulli")

_LOG_2PI = math.log(2 * math.pi)
_EPSILON = 1e-8  # keeps the published Bernoulli's logarithms finite
_FIRST_LATENT = 0.1  # of mean and log sigma, before training: BatchNorm would give them a spread of about 1
_FIRST_SCALE = 0.3  # of the Gaussian, before training: about the spread of a joint within a window


@dataclass(frozen=True, slots=True)
class VaeSettings:
    """`length` T samples a window; `latent` sets every width, and cost grows with its square (published: 10).

    `likelihood` is "gaussian" by default: trained alike for 300 steps at z = 2, its -ELBO reaches a mean pose AUC of
    0.690 on mocap-cctv C0 to C2, the published "bernoulli" 0.679 (after 900 steps 0.660 and 0.662); its latent 0.734
    against 0.696.
    """

    length: int = 24
    latent: int = 2
    likelihood: str = "gaussian"

    def __post_init__(self) -> None:
        if not (6 <= self.length <= 510 and self.length % SHRINKS == 0):
            raise ValueError(f"length is {self.length}; must be a multiple of {SHRINKS} from 6 to 510")
        if not 1 <= self.latent <= 32:
            raise ValueError(f"latent is {self.latent}; must be 1 to 32")
        if self.likelihood not in LIKELIHOODS:
            raise ValueError(f"the likelihood is {self.likelihood!r}; must be one of {', '.join(LIKELIHOODS)}")

    @property
    def latent_shape(self) -> tuple[int, int, int]:
        """What the encoder's half and the decoder's input look like for one window: (4 · latent, T/6, V)."""
        return 4 * self.latent, self.length // SHRINKS, JOINTS18

    @property
    def latent_size(self) -> int:
        """D: latents of one window."""
        return math.prod(self.latent_shape)

    @property
    def elements(self) -> int:
        """Coordinates of a window."""
        return CHANNELS * self.length * JOINTS18


class Bernoulli(nn.Module):
    """The published likelihood: coordinates as if they were probabilities.

    They are not confined to [0, 1], so log p is linear in x with a slope that only the epsilon bounds.
    """

    def forward(self, decoded: Tensor, x: Tensor) -> Tensor:
        """Logits and window (B, 2, T, V) → log p(x | z) of each coordinate."""
        p = (torch.sigmoid(decoded) + _EPSILON) * (1 - 2 * _EPSILON)
        return x * torch.log(p + _EPSILON) + (1 - x) * torch.log(1 - p + _EPSILON)


class Gaussian(nn.Module):
    """Coordinates around what is decoded, with one scale for all that is learned along (Rybkin et al., ICML 2021)."""

    def __init__(self) -> None:
        super().__init__()
        self.log_scale = nn.Parameter(torch.tensor(math.log(_FIRST_SCALE)))

    def forward(self, decoded: Tensor, x: Tensor) -> Tensor:
        """Means and window (B, 2, T, V) → log p(x | z) of each coordinate."""
        away = (x - decoded) * torch.exp(-self.log_scale)
        return -0.5 * (away.square() + _LOG_2PI) - self.log_scale


class GaVae(nn.Module):
    """Encoder, decoder and likelihood. `prior_params` are the published prior's: mean 0, log sigma 0.

    `latent_mean` (D, 2) is that of what it was trained on; it is stored beside the state, whose keys are fixed.
    """

    prior_params: Tensor
    latent_mean: Tensor

    def __init__(self, settings: VaeSettings) -> None:
        super().__init__()
        self.settings = settings
        self.register_buffer("prior_params", torch.zeros(settings.latent, 2))
        self.register_buffer("latent_mean", torch.zeros(settings.latent_size, 2), persistent=False)
        self.encoder = GraphEncoder(CHANNELS, 2 * settings.latent)
        self.decoder = GraphDecoder(settings.latent, CHANNELS)
        self.likelihood = Gaussian() if settings.likelihood == "gaussian" else Bernoulli()

    def encode(self, x: Tensor) -> Tensor:
        """(B, 2, T, V) → (B, D, 2): mean and log sigma of every latent, neighbours in the encoder's output."""
        parameters: Tensor = self.encoder(x).reshape(len(x), -1, 2)
        return parameters

    def decode(self, z: Tensor) -> Tensor:
        """(B, D) → (B, 2, T, V): means of the Gaussian, logits of the Bernoulli."""
        decoded: Tensor = self.decoder(z.view(len(z), *self.settings.latent_shape))
        return decoded

    def elbo(self, x: Tensor) -> Tensor:
        """(B, 2, T, V) → evidence lower bound at the latent's mean, in nats a window (B,)."""
        parameters = self.encode(x)
        mean = parameters[..., 0].contiguous()
        return elbo(self.likelihood(self.decode(mean), x), parameters, torch.zeros_like(mean))

    def sampled_elbo(self, x: Tensor) -> Tensor:
        """The same with one random latent for each window: what training maximises."""
        parameters = self.encode(x)
        noise = torch.randn_like(parameters[..., 0])
        z = parameters[..., 0] + parameters[..., 1].exp() * noise
        return elbo(self.likelihood(self.decode(z), x), parameters, noise)


def elbo(log_px: Tensor, parameters: Tensor, noise: Tensor) -> Tensor:
    """The bound log p(x|z) + log p(z) - log q(z|x) for z = mean + sigma · noise, each window's sum (B,).

    `log_px` (B, 2, T, V), `parameters` (B, D, 2), `noise` (B, D).
    """
    mean, log_sigma = parameters.unbind(dim=2)
    z = mean + log_sigma.exp() * noise
    log_pz = -0.5 * (z.square() + _LOG_2PI)
    log_qz = -0.5 * (noise.square() + _LOG_2PI) - log_sigma
    return log_px.sum(dim=(1, 2, 3)) + (log_pz - log_qz).sum(dim=1)


def seeded_model(settings: VaeSettings, seed: int) -> GaVae:
    """A model before training: torch's default layer initialisation from `seed`, and a latent near its prior.

    Otherwise log sigma starts wide enough for the first losses to be of the order of 1e10, and training never quite
    recovers from its first steps.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = GaVae(settings)
    last = model.encoder.st_gcn_enc[-1]
    for name, parameter in last.named_parameters():
        if name in ("tcn.3.weight", "residual.1.weight"):
            parameter.data.mul_(_FIRST_LATENT)
    return model
