"""The experiment's report: numbers worked by hand, files that don't change, and nothing undefined shown as 0."""

from __future__ import annotations

import csv
import re
from collections.abc import Mapping, Sequence
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from alfred.core.intervals import CAVEAT
from alfred.reports.experiment import write_report

Row = dict[str, Any]
Blocks = list[list[int]]
TRAINED = ("continual", "pseudo_continual", "active_learning", "al_light")
GATES = {"finite": True, "not worse": True, "better than chance": True, "replay": True}


def validation(auc: float) -> Row:
    return {
        "theta": 1.0, "fpr": 0.2, "fnr": 0.3, "eer": 1 - auc, "auc_roc": auc, "average_precision": auc - 0.02,
        "auc_pr": auc - 0.01, "coverage": 0.98,
    }  # fmt: skip


def step(k: int, blocks: Blocks, *, arm: str = "frozen", auc: float = 0.7, **changes: Any) -> Row:
    """One slice: `blocks` are tp, fp, tn, fn each. What is flagged is asked, but for AL-Light's `wanted`."""
    sums = [sum(column) for column in zip(*blocks, strict=True)]
    items = sum(sums)
    row: Row = {"slice": k, "theta": 1.0, "validation": validation(auc), "counts": sums, "items": items + 10}
    row |= {"scored": items, "blocks": [[number, *counts] for number, counts in enumerate(blocks)]}
    if arm == "frozen":
        return row
    flagged = sums[0] + sums[1]
    asked = flagged if arm in ("active_learning", "al_light") else 0
    row |= {"flagged": flagged, "wanted": asked, "asked": asked, "left_out": {}, "windows": 9, "confirmed_windows": 0}
    row |= {"flagged_segments": 4, "wanted_segments": 4 if asked else 0, "asked_segments": 4 if asked else 0}
    if arm == "al_light":
        row |= {"theta_med": 1.5, "band": {"band": flagged}, "flagged_quantiles": [1 + i / 20 for i in range(21)]}
    return row | ({"gates": dict(GATES)} | changes)


def part(detector: str, camera: str, arms: Mapping[str, Sequence[Blocks]], *, seed: int = 0, **more: Any) -> Row:
    """Arms by name, each a list of slices; the validation AUC rises by .01 a version from .70 on."""
    made: Row = {}
    for arm, slices in arms.items():
        rising = arm != "frozen"
        steps = [step(k, blocks, arm=arm, auc=round(0.7 + 0.01 * k * rising, 2)) for k, blocks in enumerate(slices)]
        made[arm] = {"steps": steps, "after": validation(round(0.7 + 0.01 * len(slices) * rising, 2))}
    row = {"detector": detector, "camera": camera, "seed": seed, "weights": "w-1", "slices": 2, "wall_s": 3.5}
    return row | {"validation_items": 200, "arms": made} | more


def results(*parts: Row, **config: Any) -> Row:
    given = {"data": "made-up", "unit": "pose", "stride": 1, "validation_stride": 4, "budget": 0, "oracle_noise": 0.0}
    return {"config": given | config, "failed": {}, "parts": list(parts)}


def read(folder: Path, stem: str) -> list[dict[str, str]]:
    with (folder / f"{stem}.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def one(folder: Path, stem: str, **wanted: str) -> dict[str, str]:
    """The only row of a CSV with these values."""
    found = [row for row in read(folder, stem) if all(row[key] == value for key, value in wanted.items())]
    assert len(found) == 1, f"{len(found)} rows with {wanted}"
    return found[0]


class Texts(HTMLParser):
    """Section headings with the text under each, and every start tag left open."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.sections: dict[str, str] = {}
        self._title = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in ("meta", "path", "use"):
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        pass

    def handle_endtag(self, tag: str) -> None:
        assert not self.open or tag in ("path", "use") or self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open[-1:] == ["h2"]:
            self._title = data
            self.sections[data] = ""
        elif self._title:
            self.sections[self._title] += data.replace("\u00a0", " ")


def sections(folder: Path) -> dict[str, str]:
    parser = Texts()
    parser.feed((folder / "report.html").read_text(encoding="utf-8"))
    assert not parser.open
    return parser.sections


def many(tp: int, fp: int, tn: int, fn: int, n: int = 12) -> list[Blocks]:
    """Two slices of n blocks that hold both classes and are not all alike."""
    return [[[tp + i % 2, fp + i % 3, tn - i % 3, fn + (i + k) % 2] for i in range(n)] for k in range(2)]


@pytest.fixture
def wide(tmp_path: Path) -> Path:
    """One camera of 24 blocks: frozen bad, everything trained good, AL-Light the same as active learning."""
    good = many(8, 10, 90, 2)
    arms = {"frozen": many(4, 40, 60, 6)} | dict.fromkeys(TRAINED, good)
    write_report(results(part("memory", "C1", arms)), tmp_path)
    return tmp_path


def test_table_3_adds_counts_over_cameras_and_divides_last(tmp_path: Path) -> None:
    # C0: tp 3, fp 10, tn 30, fn 1. C2: tp 1, fp 50, tn 10, fn 3. Together: FNR 4/8, FPR 60/100;
    # EBI = 2 · 0.4 · 0.5 / 0.9 = 0.4444; the mean of the cameras' rates would give FPR 54.17.
    first = part("memory", "C0", {"frozen": [[[1, 4, 16, 1]], [[2, 6, 14, 0]]]})
    other = part("memory", "C2", {"frozen": [[[1, 50, 10, 3]]]})
    write_report(results(first, other), tmp_path)
    row = one(tmp_path, "table-3", methodology="frozen")
    assert [row[name] for name in ("tp", "fp", "tn", "fn", "blocks")] == ["4", "60", "40", "4", "3"]
    assert [float(row[f"{name}_percent"]) for name in ("fnr", "fpr", "ebi")] == [50.0, 60.0, 44.4444]
    assert row["ebi_low_percent"] == "n/a"
    text = sections(tmp_path)["All cameras together"]
    assert "unit: poses" in text
    assert "44.44" in text
    assert "too few" in text


def test_several_detectors_are_added_and_their_blocks_stay_one(tmp_path: Path) -> None:
    # The same three minutes seen by two detectors are three blocks, not six.
    blocks = [[[1, 2, 8, 1]], [[1, 2, 8, 1]], [[0, 1, 9, 0]]]
    better = [[[2, 0, 10, 0]], [[2, 0, 10, 0]], [[0, 0, 10, 0]]]
    parts = (part("memory", "C0", {"frozen": blocks}), part("sparta", "C0", {"frozen": better}))
    write_report(results(*parts), tmp_path)
    row = one(tmp_path, "table-3", detector="all detectors")
    assert [row[name] for name in ("tp", "fp", "tn", "fn", "blocks")] == ["6", "5", "55", "2", "3"]
    assert row["fnr_percent"] == "25.0"


def test_seeds_show_their_range_and_the_sign_of_each_difference(tmp_path: Path) -> None:
    # Frozen: FNR 5/10, FPR 50/100, EBI 50. Seed 7: FNR 2/10, FPR 40/100, EBI 68.5714. Seed 8: FNR 6/10, FPR
    # 60/100, EBI 40. Seed 7 was named first.
    frozen, up, down = [[[5, 50, 50, 5]]], [[[8, 40, 60, 2]]], [[[4, 60, 40, 6]]]
    parts = [
        part("memory", "C0", {"frozen": frozen, "continual": trained}, seed=seed)
        for seed, trained in ((8, down), (7, up))
    ]
    write_report(results(*parts, seed=[7, 8]), tmp_path)
    row = one(tmp_path, "table-3", methodology="continual")
    assert row["first_seed"] == "7"
    assert [row[f"ebi{end}"] for end in ("_percent", "_seeds_min_percent", "_seeds_max_percent")] == [
        "68.5714", "40.0", "68.5714",
    ]  # fmt: skip
    difference = one(tmp_path, "paired-differences", methodology="continual")
    assert difference["signs"] == "seed 7: +, seed 8: −"
    assert difference["difference_points"] == "18.5714"
    assert "+18.57 points, no interval; seeds + −" in sections(tmp_path)["Verdict"]


def test_seeds_that_cover_other_cameras_are_not_compared(tmp_path: Path) -> None:
    blocks = [[[5, 50, 50, 5]]]
    parts = [
        part("memory", camera, {"frozen": blocks}, seed=seed) for camera, seed in (("C0", 0), ("C0", 1), ("C1", 0))
    ]
    write_report(results(*parts, seed=[1, 0]), tmp_path)
    row = one(tmp_path, "table-3", methodology="frozen")
    assert row["first_seed"] == "0"  # seed 1 lacks C1
    assert row["tp"] == "10"


def test_a_clear_difference_is_called_one_and_an_equal_one_is_not(wide: Path) -> None:
    clear = one(wide, "paired-differences", methodology="continual", against="frozen")
    # Added over 24 blocks: frozen tp 108, fp 984, tn 1416, fn 156; trained tp 204, fp 264, tn 2136, fn 60.
    # EBI 2 · .40909 · .59 / .99909 = .48316 and 2 · .77273 · .89 / 1.66273 = .82722.
    expected = harmonic(204, 264, 2136, 60) - harmonic(108, 984, 1416, 156)
    assert float(clear["difference_points"]) == pytest.approx(100 * expected, abs=1e-4)
    assert clear["verdict"] == "above"
    assert float(clear["low_points"]) > 0
    same = one(wide, "paired-differences", methodology="al_light", against="active_learning")
    assert (same["verdict"], float(same["difference_points"])) == ("no difference", 0.0)
    said = sections(wide)["Verdict"]
    assert "Adapted against Frozen (EBI 48.32 %). Clearly above it: Continual (" in said
    assert "AL-Light (EBI 82.72 %). No difference to Active Learning (0.00 points" in said
    assert CAVEAT in said
    assert "One seed (0): how much training varies is not known." in said


def harmonic(tp: int, fp: int, tn: int, fn: int) -> float:
    recall, specificity = tp / (tp + fn), tn / (tn + fp)
    return 2 / (1 / recall + 1 / specificity)


def test_a_worse_arm_is_called_below(tmp_path: Path) -> None:
    arms = {"frozen": many(8, 10, 90, 2), "continual": many(4, 40, 60, 6)}
    write_report(results(part("memory", "C1", arms)), tmp_path)
    assert one(tmp_path, "paired-differences", against="frozen")["verdict"] == "below"
    assert "Clearly below it: Continual" in sections(tmp_path)["Verdict"]


def test_a_clear_difference_that_another_seed_turns_round_is_not_called_clear(tmp_path: Path) -> None:
    good, bad = many(8, 10, 90, 2), many(4, 40, 60, 6)
    parts = [
        part("memory", "C1", {"frozen": frozen, "continual": trained}, seed=seed)
        for seed, frozen, trained in ((0, bad, good), (1, good, bad))
    ]
    write_report(results(*parts, seed=[0, 1]), tmp_path)
    said = sections(tmp_path)["Verdict"]
    assert "Apart from it with the first seed, but not with every seed: Continual" in said
    assert "Clearly above" not in said
    assert "above, but not with every seed" in sections(tmp_path)["Paired differences"]


def test_a_missing_class_is_never_zero(tmp_path: Path) -> None:
    quiet = [[[0, 3, 17, 0]], [[0, 2, 18, 0]]]
    arms = {"frozen": quiet} | dict.fromkeys(TRAINED, quiet)
    write_report(results(part("memory", "C0", arms)), tmp_path)
    row = one(tmp_path, "table-6", methodology="al_light")
    assert [row[f"{name}_percent"] for name in ("fnr", "fpr", "ebi")] == ["n/a", "12.5", "n/a"]
    assert {row["difference_points"] for row in read(tmp_path, "paired-differences")} == {"n/a"}
    assert [row["median_percent"] for row in read(tmp_path, "quartiles")] == ["n/a"] * 5
    texts = sections(tmp_path)
    assert "Too few blocks to say: Continual (n/a: a class is missing)" in texts["Verdict"]
    assert not (tmp_path / "figure-3.svg").exists()  # no cell has an EBI


def test_csc_has_tables_and_verdicts_of_its_own(tmp_path: Path) -> None:
    arms = {"frozen": [[[1, 2, 8, 1]]], "continual": [[[2, 2, 8, 0]]]}
    write_report(results(part("memory", "C0", arms), part("memory", "CSC", arms)), tmp_path)
    assert {row["camera"] for row in read(tmp_path, "table-6")} == {"C0"}
    assert {row["camera"] for row in read(tmp_path, "table-7")} == {"CSC"}
    assert {row["camera"] for row in read(tmp_path, "table-4")} == {"C0"}
    assert {row["camera"] for row in read(tmp_path, "table-2")} == {"CSC"}
    assert {row["cameras"] for row in read(tmp_path, "paired-differences")} == {"2 cameras", "CSC"}
    assert "memory, CSC" in sections(tmp_path)["Verdict"]


def test_without_csc_its_tables_are_not_written(wide: Path) -> None:
    assert not (wide / "table-7.csv").exists()
    assert not (wide / "table-2.csv").exists()
    assert "CSC" not in (wide / "report.html").read_text(encoding="utf-8")


def test_best_of_k_leaves_out_the_source_and_failed_rounds(tmp_path: Path) -> None:
    one_block: list[Blocks] = [[[1, 2, 8, 1]]] * 3
    row = part("memory", "C0", {"frozen": one_block, "continual": one_block})
    steps = row["arms"]["continual"]["steps"]
    # Step k shows the version before slice k: source, after 1, after 2; then the last.
    for each, auc in zip(steps, (0.99, 0.81, 0.95), strict=True):
        each["validation"] = validation(auc)
    row["arms"]["continual"]["after"] = validation(0.8)
    steps[1] = {key: value for key, value in steps[1].items() if key != "gates"} | {"failed": "the loss diverged"}
    row["arms"]["offline"] = {"steps": [], "windows": 5, "after": validation(0.6)}
    write_report(results(row), tmp_path)
    found = one(tmp_path, "table-4", methodology="continual")
    assert (found["versions"], found["auc_roc_best_percent"], found["auc_roc_best_after_slices"]) == ("2", "81.0", "1")
    assert (found["auc_roc_last_percent"], found["auc_pr_best_percent"], found["eer_best_percent"]) == (
        "80.0", "80.0", "19.0",
    )  # fmt: skip
    assert one(tmp_path, "table-4", methodology="frozen")["auc_roc_best_percent"] == "70.0"
    assert one(tmp_path, "table-4", methodology="offline")["auc_roc_last_percent"] == "60.0"
    text = sections(tmp_path)["Ranking of the validation set"]
    assert "selected on the validation set" in text
    assert "trapezoids" in text


def test_effort_is_counted_in_both_units_with_the_gain_beside_it(tmp_path: Path) -> None:
    # AL-Light flags 100 + 60 poses in 4 + 4 segments and asks 40 + 60 in 1 + 4: saved 60/160 and 3/8.
    # Frozen EBI 50; AL-Light: FNR 0, FPR 1/2 → 66.6667: 16.6667 points for 5 segments, 333.3333 for 100.
    frozen, light = [[[5, 50, 50, 5]]] * 2, [[[20, 80, 40, 0]], [[20, 40, 80, 0]]]
    row = part("memory", "C0", {"frozen": frozen, "active_learning": light, "al_light": light})
    steps = row["arms"]["al_light"]["steps"]
    steps[0] |= {"wanted": 40, "asked": 40, "wanted_segments": 1, "asked_segments": 1, "band": {"band": 100}}
    steps[1] |= {"band": {"too few": 60}, "theta_med": None}
    write_report(results(row), tmp_path)
    poses = one(tmp_path, "effort-poses", methodology="al_light")
    assert [poses[name] for name in ("flagged", "asked_for", "saved_percent", "least_saved_of_a_step_percent")] == [
        "160", "100", "37.5", "0.0",
    ]  # fmt: skip
    assert poses["least_saved_with_a_band_percent"] == "60.0"
    segments = one(tmp_path, "effort-segments", methodology="al_light")
    assert [segments[name] for name in ("flagged", "asked", "saved_percent")] == ["8", "5", "37.5"]
    assert segments["ebi_points_gained_per_100_asked"] == "333.3333"
    assert one(tmp_path, "bands")["without_a_band_percent"] == "37.5"
    slices = [row for row in read(tmp_path, "effort-by-slice") if row["methodology"] == "al_light"]
    assert [(r["slice"], r["unit"], r["asked"]) for r in slices] == [
        ("0", "poses", "40"), ("0", "segments", "1"), ("1", "poses", "60"), ("1", "segments", "4"),
    ]  # fmt: skip
    said = sections(tmp_path)["Verdict"]
    assert "37.50 % of the flagged poses were not asked for (60 of 160)" in said


def test_a_run_in_segments_has_one_effort_table(tmp_path: Path) -> None:
    write_report(results(part("memory", "C0", {"active_learning": [[[1, 2, 8, 1]]]}), unit="segment"), tmp_path)
    assert not (tmp_path / "effort-poses.csv").exists()
    assert one(tmp_path, "effort-segments")["ebi_points_gained_per_100_asked"] == "n/a"  # no frozen arm
    text = sections(tmp_path)
    assert "poses" not in text["All cameras together"] + text["Effort"].replace("HuVAD in poses", "")


def test_gates_count_who_would_have_been_refused(tmp_path: Path) -> None:
    row = part("memory", "C0", {"frozen": [[[1, 2, 8, 1]]] * 3, "continual": [[[1, 2, 8, 1]]] * 3})
    steps = row["arms"]["continual"]["steps"]
    steps[0]["gates"] |= {"not worse": False, "replay": False}
    steps[1]["gates"] |= {"replay": False}
    steps[2] = {key: value for key, value in steps[2].items() if key != "gates"} | {"failed": "nothing to train on"}
    given = results(row) | {"failed": {"gepc-C0-seed0": "no <threshold>"}}
    write_report(given, tmp_path)
    found = one(tmp_path, "gates")
    assert [found[f"refused_by_{name}"] for name in ("finite", "not_worse", "replay", "any")] == ["0", "1", "2", "2"]
    assert (found["candidates"], found["failed_rounds"]) == ("2", "1")
    assert [row["why"] for row in read(tmp_path, "failed")] == ["no <threshold>", "nothing to train on"]
    texts = sections(tmp_path)
    assert "no <threshold>" in texts["How it was run"]  # escaped
    assert "1 part failed" in texts["Verdict"]


def test_quartiles_are_numpys_linear_ones_beside_the_papers(tmp_path: Path) -> None:
    # Cells with FNR = FPR have EBI 1 − FPR: 20, 40, 60, 80 % → quartiles 35, 50, 65.
    cells = [
        part(detector, camera, {"continual": [[[n, 10 - n, n, 10 - n]]]})
        for detector, camera, n in (("memory", "C0", 2), ("memory", "C1", 4), ("sparta", "C0", 6), ("sparta", "C1", 8))
    ]
    write_report(results(*cells), tmp_path)
    row = one(tmp_path, "quartiles")
    assert [row[f"{name}_percent"] for name in ("n", "min", "q1", "median", "q3", "max") if name != "n"] == [
        "20.0", "35.0", "50.0", "65.0", "80.0",
    ]  # fmt: skip
    assert [row[f"paper_{name}_percent"] for name in ("q1", "median", "q3")] == ["51.51", "60.57", "63.91"]
    assert "not comparable" in sections(tmp_path)["Spread over detectors and cameras"]


def test_what_was_not_run_is_not_in_the_report(tmp_path: Path) -> None:
    paths = write_report(results(part("memory", "C3", {"pseudo_continual": [[[1, 2, 8, 1]]]})), tmp_path)
    assert all(path.is_file() for path in paths)
    assert len({path.name for path in paths}) == len(paths)
    assert [row["methodology"] for row in read(tmp_path, "table-3")] == ["pseudo_continual"]
    assert not (tmp_path / "figure-2.svg").exists()
    assert "AL-Light" not in sections(tmp_path)["Verdict"]


def test_nothing_to_report_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="at least one part"):
        write_report(results(), tmp_path)


def test_figure_2_draws_c0_with_a_line_for_each_slice_that_flagged(tmp_path: Path) -> None:
    slices = [[[1, 20, 80, 1]]] * 3
    row = part("memory", "C0", {"al_light": slices})
    row["arms"]["al_light"]["steps"][1]["flagged_quantiles"] = []
    write_report(results(part("memory", "A9", {"al_light": slices}), row, cameras=["A9", "C0"]), tmp_path)
    svg = (tmp_path / "figure-2.svg").read_text(encoding="utf-8")
    assert "memory, C0" in svg and "A9" not in svg
    assert re.findall(r">(slice \d)<", svg) == ["slice 0", "slice 2"]
    assert (tmp_path / "figure-2.png").read_bytes().startswith(b"\x89PNG")


def test_the_page_stands_alone_and_its_ids_are_its_own(wide: Path) -> None:
    html = (wide / "report.html").read_text(encoding="utf-8")
    assert html.count("<svg ") == 2
    assert not re.search(r'(src|href)="(https?:)?//', html)
    assert "<script" not in html and "@import" not in html
    ids = re.findall(r' id="([^"]+)"', html)
    assert len(ids) == len(set(ids))
    for name in set(re.findall(r'href="([\w.-]+)"', html)):
        assert (wide / name).is_file()


def test_the_same_results_give_the_same_bytes(wide: Path, tmp_path: Path) -> None:
    good = many(8, 10, 90, 2)
    arms = {"frozen": many(4, 40, 60, 6)} | dict.fromkeys(TRAINED, good)
    again = write_report(results(part("memory", "C1", arms)), tmp_path / "again")
    assert len(again) >= 15
    for path in again:
        assert path.read_bytes() == (wide / path.name).read_bytes(), path.name
