"""Run benchmarks and keep their figures: `python -m benchmarks` for all, `python -m benchmarks NAME ...`
for some.

Each module beside this one with BUDGET (a sentence) and run() (figures, whether the budget holds) is a
benchmark. Figures go to results.json, one entry a benchmark, and RESULTS.md is made from it. A benchmark
whose data is not here returns a figure called "skipped"; its earlier entry stays.
"""

from __future__ import annotations

import argparse
import datetime
import importlib
import importlib.metadata
import json
import os
import platform
import sys
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).resolve().parent
RESULTS = FOLDER / "results.json"
PAGE = FOLDER / "RESULTS.md"


def names() -> list[str]:
    """All benchmarks: modules of this folder whose text sets BUDGET."""
    files = (f for f in FOLDER.glob("*.py") if not f.stem.startswith("_"))
    return sorted(f.stem for f in files if "\nBUDGET" in f.read_text("utf-8"))


def machine() -> dict[str, str | int]:
    """What the figures depend on, without saying whose machine it is."""
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    model = next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), "unknown")
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return {
        "cpu": model,
        "cores": os.cpu_count() or 0,
        "memory_gb": round(memory / 2**30),
        "python": platform.python_version(),
        "torch": importlib.metadata.version("torch"),
    }


def measure(name: str) -> dict[str, Any]:
    """One entry of results.json."""
    module = importlib.import_module(f"benchmarks.{name}")
    figures, holds = module.run()
    today = datetime.datetime.now(datetime.UTC).date().isoformat()
    return {
        "budget": module.BUDGET,
        "figures": figures,
        "holds": bool(holds),
        "date": today,
        "machine": machine(),
    }


def page(results: dict[str, Any]) -> str:
    """results.json as Markdown."""
    parts = ["# Benchmark results", "", "Made by `python -m benchmarks` from results.json; not edited by hand.", ""]
    for name, entry in sorted(results.items()):
        on = entry["machine"]
        parts += [
            f"## {name}",
            "",
            f"Budget: {entry['budget']}. **{'Holds' if entry['holds'] else 'Does not hold'}.**",
            "",
            f"{entry['date']}, {on['cpu']}, {on['cores']} cores, {on['memory_gb']} GB, Python {on['python']}, "
            f"torch {on['torch']}.",
            "",
            "| figure | value |",
            "|---|---|",
            *(f"| {figure} | {value} |" for figure, value in entry["figures"].items()),
            "",
        ]
    return "\n".join(parts)


def main() -> int:
    """Run what was asked for; 1 if a budget does not hold."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="Run benchmarks, keep their figures.")
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of: {', '.join(names())}; default: all")
    wanted = parser.parse_args().names or names()
    unknown = sorted(set(wanted) - set(names()))
    if unknown:
        parser.error(f"no benchmark {', '.join(unknown)}; there are {', '.join(names())}")
    results: dict[str, Any] = json.loads(RESULTS.read_text("utf-8")) if RESULTS.exists() else {}
    failed = False
    for name in wanted:
        entry = measure(name)
        if "skipped" in entry["figures"]:
            print(f"{name}: skipped, {entry['figures']['skipped']}")
            continue
        results[name] = entry
        failed |= not entry["holds"]
        print(f"{name}: {'holds' if entry['holds'] else 'DOES NOT HOLD'} {json.dumps(entry['figures'])}")
        RESULTS.write_text(json.dumps(results, indent=1, sort_keys=True, ensure_ascii=False) + "\n", "utf-8")
        PAGE.write_text(page(results), "utf-8")
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
