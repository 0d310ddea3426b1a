"""Make the one torchvision wheel of the registry importable beside a CPU build of torch.

That wheel's compiled part needs CUDA libraries. Without them its operators are never declared, and `import
torchvision` fails in its own registration of `torchvision::nms`. Ultralytics imports torchvision on its
pose path, for NMS alone. So NMS is declared here and done with torch; the other compiled operators stay
unavailable. Relies on private names of torchvision 0.28.0, which is pinned. Does nothing where the wheel
works.
"""

from __future__ import annotations

import importlib
import sys
from typing import Any

_declared: list[Any] = []  # a torch Library lives as long as its object


def ensure_torchvision() -> bool:
    """Import torchvision, with a stand-in for NMS where it needs one; True if it did. Safe to call again."""
    try:
        importlib.import_module("torchvision")
    except RuntimeError as error:
        if "does not exist" not in str(error):
            raise
    else:
        return bool(_declared)
    _forget_torchvision()
    _declare()
    import torchvision.extension

    torchvision.extension._has_ops = lambda: True
    return True


def _forget_torchvision() -> None:
    for name in [n for n in sys.modules if n.partition(".")[0] == "torchvision"]:
        del sys.modules[name]


def _declare() -> None:
    import torch

    # Any: torch leaves these methods untyped.
    make: Any = torch.library.Library
    library = make("torchvision", "FRAGMENT")
    for operator in ("nms", "qnms"):
        library.define(f"{operator}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    library.impl("nms", _nms, "CPU")
    _declared.append(library)


def _nms(boxes: Any, scores: Any, iou_threshold: float) -> Any:
    """Greedy NMS over boxes (n, 4) x1, y1, x2, y2: indices kept, by falling score."""
    import torch

    order = scores.argsort(descending=True, stable=True)
    boxes = boxes[order]
    area = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
    alive = torch.ones(len(boxes), dtype=torch.bool)
    kept = []
    for i in range(len(boxes)):
        if not alive[i]:
            continue
        kept.append(i)
        low = torch.maximum(boxes[i, :2], boxes[i + 1 :, :2])
        high = torch.minimum(boxes[i, 2:], boxes[i + 1 :, 2:])
        inside = (high - low).clamp(min=0).prod(dim=1)
        alive[i + 1 :] &= inside <= iou_threshold * (area[i] + area[i + 1 :] - inside)
    return order[torch.tensor(kept, dtype=torch.long)]
