"""The demo as its users meet it: a real stack, real Chromium, by keyboard."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from playwright.sync_api import Browser, expect

from alfred.pose.simulate import simulate
from tests.journeys.on_the_page import answer, event_of, press, said_of, signed_in, wait_for_event
from tests.journeys.running_demo import ROOT, Demo, environment, free_port, running

pytestmark = pytest.mark.browser
FIGHT = ROOT.parent / "shared" / "data" / "videos" / "vg_fight.mp4"


@pytest.fixture(scope="module")
def demo() -> Iterator[Demo]:
    """One demo for all journeys here; real footage where the data folder is there."""
    with running([FIGHT] if FIGHT.is_file() else []) as one:
        yield one


def more_footage(folder: Path, seed: int) -> Path:
    stream = simulate(seed=seed, minutes=3, anomaly_share=0.05, fps=15.0, view_seed=2)
    poses = stream.poses
    path = folder / f"more-{seed}.npz"
    np.savez_compressed(
        path,
        scene=np.zeros(len(poses), np.int16),
        frame_index=poses.frame.astype(np.int32),
        track_id=poses.track,
        keypoints=poses.keypoints,
        bbox=poses.bbox,
        label=stream.labels,
    )
    return path


def test_it_is_served_and_a_second_instance_is_refused(demo: Demo) -> None:
    assert set(demo.passwords()) == {"admin", "ana", "ben", "sue"}
    second = subprocess.run(
        [sys.executable, "manage.py", "demo", "--port", str(free_port())],
        cwd=ROOT, env=environment(demo.state), capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert second.returncode != 0
    assert demo.process is not None
    assert str(demo.process.pid) in second.stderr
    assert demo.process.poll() is None


def test_the_demo_refuses_a_public_address(demo: Demo) -> None:
    public = demo.manage("demo", "--host", "0.0.0.0")
    assert public.returncode != 0
    assert "stays on this machine" in public.stderr


def test_two_annotators_work_by_keyboard_while_a_worker_is_killed(demo: Demo, browser: Browser, tmp_path: Path) -> None:
    ana, ben = signed_in(demo, browser, "ana"), signed_in(demo, browser, "ben")
    ana.goto(f"{demo.url}/review/?camera=simulated-hall")
    ben.goto(f"{demo.url}/review/?camera=simulated-yard")
    taken = demo.manage(
        "ingest", "simulated-yard", str(more_footage(tmp_path, 5)), "--fps", "15", "--resolution", "1280x720"
    )
    assert taken.returncode == 0, taken.stderr
    answered: dict[str, list[str]] = {"ana": [], "ben": []}
    for turn in range(8):
        answered["ana"].append(answer(demo, ana, "n" if turn % 3 else "a"))
        answered["ben"].append(answer(demo, ben, "a" if turn % 2 else "n"))
        if turn == 1:
            killed = [pid for pid, command in demo.children().items() if "worker -n score" in command]
            assert killed
            os.kill(killed[0], signal.SIGKILL)
    demo.wait_idle()
    for name, camera in (("ana", "simulated-hall"), ("ben", "simulated-yard")):
        rows = demo.ask(
            "SELECT v.event_id::text, count(DISTINCT v.key), count(*), count(DISTINCT v.segment_id), min(c.slug)"
            " FROM alfred_verdict v JOIN alfred_user u ON u.id = v.user_id"
            " JOIN alfred_event e ON e.id = v.event_id JOIN alfred_camera c ON c.id = e.camera_id"
            " WHERE u.username = %s AND v.event_id::text = ANY(%s) GROUP BY v.event_id",
            name, answered[name],
        )  # fmt: skip
        assert {row[0] for row in rows} == set(answered[name])  # none lost
        assert len(set(answered[name])) == 8
        assert all(
            keys == 1 and n == segments and slug == camera for _, keys, n, segments, slug in rows
        )  # none doubled
    assert not set(answered["ana"]) & set(answered["ben"])
    scored = "SELECT count(*), count(DISTINCT extraction_id) FROM alfred_scoring"
    assert len(set(demo.ask(scored)[0])) == 1
    new = "SELECT count(*) FROM alfred_segmentscore s JOIN alfred_segment g ON g.id = s.segment_id"
    assert demo.number(f"{new} JOIN alfred_recording r ON r.id = g.recording_id WHERE r.name = 'more-5.npz'") > 20


def test_undo_brings_the_event_back_first(demo: Demo, browser: Browser) -> None:
    ana = signed_in(demo, browser, "ana")
    ana.goto(f"{demo.url}/review/?camera=simulated-hall")
    mistaken = answer(demo, ana, "a")
    ana.keyboard.press("z")
    wait_for_event(ana, mistaken)
    standing = (
        "SELECT v.answer FROM alfred_verdict v WHERE v.event_id::text = %s"
        " AND NOT EXISTS (SELECT 1 FROM alfred_verdict w WHERE w.supersedes_id = v.id)"
    )
    assert {row[0] for row in demo.ask(standing, mistaken)} == {"undo"}
    assert answer(demo, ana, "n") == mistaken


def test_the_stage_draws_and_plays_by_key(demo: Demo, browser: Browser) -> None:
    ana = signed_in(demo, browser, "ana")
    expect(ana.locator("[data-people]")).to_contain_text("asked: ●")
    lit = """() => { const c = document.querySelector('.stage canvas');
        const d = c.getContext('2d').getImageData(0, 0, c.width, c.height).data;
        let n = 0; for (let i = 3; i < d.length; i += 4) if (d[i] > 60) n++; return n; }"""
    ana.wait_for_function(f"() => ({lit})() > 200")
    moving = ana.locator("[data-time]").inner_text()
    ana.wait_for_function("t => document.querySelector('[data-time]').textContent !== t", arg=moving)
    ana.keyboard.press(" ")
    expect(ana.locator("[data-action=play]")).to_have_text("Play")
    still = ana.locator("[data-time]").inner_text()
    ana.wait_for_timeout(400)
    assert ana.locator("[data-time]").inner_text() == still
    ana.keyboard.press("?")
    expect(ana.locator("#help")).to_be_visible()


def test_a_lost_connection_loses_no_answer(demo: Demo, browser: Browser) -> None:
    ana = signed_in(demo, browser, "ana")
    ana.goto(f"{demo.url}/review/?camera=simulated-hall")
    event_of(ana)
    expect(ana.locator("#ahead template")).to_have_count(3)  # so that there is a next one without the server
    ana.context.set_offline(True)
    event = press(ana, "n")
    expect(ana.locator("[data-unsent]")).to_have_text("1 answer waits to be sent.")
    assert said_of(demo, event) == 0
    ana.context.set_offline(False)
    expect(ana.locator("[data-unsent]")).to_be_hidden()
    assert said_of(demo, event) == 1


def test_a_round_is_launched_watched_promoted_and_rolled_back(demo: Demo, browser: Browser) -> None:
    admin = signed_in(demo, browser, "admin")
    admin.goto(f"{demo.url}/cameras/simulated-hall/")
    expect(admin.locator("#launch-takes")).to_contain_text("This closes slice 0 (1 recording, ")
    admin.click("text=Launch a round")
    expect(admin.locator("h1")).to_contain_text("Round 1")
    # The page moves by itself: no reload here. Beside it poses are extracted from a video, on as few cores.
    expect(admin.locator("button:has-text('Promote')")).to_be_visible(timeout=300_000)
    expect(admin.locator("table").filter(has_text="candidate v1")).to_contain_text("deployed")
    expect(admin.locator("#main")).to_contain_text("It remembers 2048 windows it came with, ")
    admin.locator("form[action$='/promote/'] input[name=reason]").fill("journey")
    admin.click("button:has-text('Promote')")
    expect(admin.locator("#notices")).to_contain_text("in force")
    admin.goto(f"{demo.url}/cameras/simulated-hall/report/")
    expect(admin.locator(".summary")).to_contain_text("EBI of")
    expect(admin.locator("table").first).to_contain_text("ground truth of the imported files")
    with admin.expect_download() as download:
        admin.click("text=CSV")
    assert "cumulative,segment,ground_truth" in Path(download.value.path()).read_text()
    admin.goto(f"{demo.url}/cameras/simulated-hall/")
    admin.on("dialog", lambda dialog: dialog.accept())
    admin.locator("button:has-text('roll back to this')").first.click()
    expect(admin.locator("#notices")).to_contain_text("in force again")


def test_people_and_scores_of_a_recording_lead_to_their_moment(demo: Demo, browser: Browser) -> None:
    sue = signed_in(demo, browser, "sue")
    sue.goto(f"{demo.url}/cameras/simulated-hall/")
    sue.click("a:has-text('simulated-slice-0.npz')")
    expect(sue.locator("[data-note]")).to_have_text("")
    person = sue.locator("button[aria-label^='Person 40, first seen']")
    person.click()
    expect(sue.locator("[data-time]")).to_contain_text(f"{person.inner_text()} / ")
    expect(sue.locator("[data-action=play]")).to_have_text("Play")
    curve = sue.locator(".u-over").bounding_box()
    assert curve is not None
    sue.locator(".u-over").click(position={"x": curve["width"] / 2, "y": 20})
    middle = r"^(4:5|5:0)\d\.\d / 10:00"
    expect(sue.locator("[data-time]")).to_have_text(re.compile(middle))


def test_an_upload_is_refused_with_a_sentence(demo: Demo, browser: Browser, tmp_path: Path) -> None:
    admin = signed_in(demo, browser, "admin")
    admin.goto(f"{demo.url}/cameras/simulated-yard/")
    wrong = tmp_path / "holiday.mp4"
    wrong.write_text("dear diary")
    admin.set_input_files("[name=uploads]", wrong)
    admin.click("button:has-text('Upload')")
    expect(admin.locator("#notices")).to_contain_text("holiday.mp4")
    expect(admin.locator("#notices")).to_contain_text("text")


def test_nothing_scrolls_sideways_on_a_phone(demo: Demo, browser: Browser) -> None:
    page = signed_in(demo, browser, "sue", viewport={"width": 360, "height": 860})
    for path in ("/review/", "/cameras/", "/cameras/simulated-hall/", "/cameras/simulated-hall/report/"):
        page.goto(demo.url + path)
        wide = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
        assert wide <= 0, f"{path} is {wide} px too wide"


@pytest.mark.shared
@pytest.mark.skipif(not FIGHT.is_file(), reason="needs ../shared/data/videos")
def test_the_overlay_follows_the_video(demo: Demo, browser: Browser) -> None:
    """On a real video the drawn pose is that of the frame on screen."""
    admin = signed_in(demo, browser, "admin")
    admin.goto(f"{demo.url}/cameras/real-vg_fight/")
    admin.click("table a[href*='/recordings/']")
    admin.wait_for_function(
        "() => { const v = document.querySelector('video'); return !v.hidden && v.readyState >= 2; }"
    )
    admin.wait_for_function("() => document.querySelector('video').currentTime > 1.0")
    admin.keyboard.press(" ")
    seeked = admin.evaluate(
        """async () => { const v = document.querySelector('video');
            v.currentTime = 5.001; await new Promise(r => v.addEventListener('seeked', r, {once: true}));
            await new Promise(r => setTimeout(r, 500));
            return [v.currentTime, document.querySelector('[data-time]').textContent]; }"""
    )
    assert abs(seeked[0] - 5.0) < 0.05  # ranges work: the browser could seek
    assert seeked[1].startswith("5.0")  # and the overlay stands at that frame


def test_ctrl_c_stops_everything_and_starting_again_keeps_the_data(demo: Demo) -> None:
    verdicts = demo.number("SELECT count(*) FROM alfred_verdict")
    assert verdicts > 16
    children = demo.children()
    assert len(children) >= 7
    demo.interrupt()
    end = time.monotonic() + 10  # a killed process with much memory takes a moment to go
    while (left := [pid for pid in children if Path(f"/proc/{pid}").exists()]) and time.monotonic() < end:
        time.sleep(0.1)
    assert left == [], [children[pid] for pid in left]
    demo.lines.clear()
    demo.start()
    assert demo.number("SELECT count(*) FROM alfred_verdict") == verdicts
    assert demo.passwords() == {}
