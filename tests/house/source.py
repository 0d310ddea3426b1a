"""The checkout's own files, read as text and as syntax trees."""

from __future__ import annotations

import ast
import subprocess
from collections.abc import Iterator
from functools import cache
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[2]
PRODUCT = ("alfred", "annotator", "workers")


@cache
def modules(*tops: str) -> tuple[Path, ...]:
    """Our Python files under these folders (the product's by default), migrations apart."""
    found = (path for top in tops or PRODUCT for path in sorted((CHECKOUT / top).rglob("*.py")))
    return tuple(path for path in found if "migrations" not in path.parts and "__pycache__" not in path.parts)


@cache
def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(), str(path))


def name(path: Path) -> str:
    """As in messages: relative to the checkout."""
    return str(path.relative_to(CHECKOUT))


def calls(path: Path) -> Iterator[tuple[str, ast.Call]]:
    """Every call with its dotted name as written: torch.load, rows.update, print, (…).save."""
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Call):
            yield dotted(node.func), node


def dotted(node: ast.expr) -> str:
    if isinstance(node, ast.Attribute):
        return f"{dotted(node.value)}.{node.attr}"
    return node.id if isinstance(node, ast.Name) else "(…)"


def imports(path: Path) -> Iterator[str]:
    """Modules imported anywhere in the file, by their full name."""
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module


@cache
def tracked() -> tuple[str, ...]:
    """What git holds, without what is deleted here; () where this is no git checkout."""
    try:
        listed = subprocess.run(["git", "ls-files", "-z"], cwd=CHECKOUT, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return ()
    return tuple(file for file in listed.stdout.split("\0") if file and (CHECKOUT / file).is_file())
