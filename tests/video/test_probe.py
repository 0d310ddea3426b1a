"""What a file is, and one plain sentence for each that is none."""

from __future__ import annotations

import resource
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from alfred.video.probe import BadVideo, VideoFacts, probe, probe_safely
from tests.video import clips


def test_facts_of_a_plain_clip(tmp_path: Path) -> None:
    facts = probe(clips.make(tmp_path / "a.mp4", width=96, height=64, fps=10, frames=20))
    assert facts == VideoFacts(96, 64, 10.0, 2.0, 20, "h264", 0, has_audio=False, vfr=False)


def test_sound_is_seen(tmp_path: Path) -> None:
    assert probe(clips.make(tmp_path / "a.mp4", audio=True)).has_audio


@pytest.mark.parametrize(("turn", "size"), [(90, (64, 96)), (180, (96, 64)), (270, (64, 96))])
def test_size_is_the_upright_one(tmp_path: Path, turn: int, size: tuple[int, int]) -> None:
    facts = probe(clips.turned(clips.make(tmp_path / "a.mp4"), turn))
    assert (facts.width, facts.height) == size
    assert facts.rotation % 360 == -turn % 360


def test_portrait_and_odd_sizes(tmp_path: Path) -> None:
    portrait = probe(clips.make(tmp_path / "p.mp4", width=64, height=128))
    odd = probe(clips.make(tmp_path / "o.avi", codec="mpeg4", width=161, height=121))
    assert (portrait.width, portrait.height) == (64, 128)
    assert (odd.width, odd.height, odd.codec) == (161, 121, "mpeg4")


def test_variable_rate_is_noticed(tmp_path: Path) -> None:
    times = [0.0, 0.1, 0.2, 0.5, 0.6, 1.4, 1.5, 1.6, 2.4, 2.5]
    assert probe(clips.make(tmp_path / "v.mp4", times=times)).vfr
    assert not probe(clips.make(tmp_path / "c.mkv", fps=30)).vfr  # Matroska rounds to 33, 33, 34 ms


def test_duration_without_a_header(tmp_path: Path) -> None:
    facts = probe(clips.make(tmp_path / "a.h264", frames=20, container={"f": "h264"}))
    assert facts.duration_s > 0


def empty(path: Path) -> Path:
    path.write_bytes(b"")
    return path


def text(path: Path) -> Path:
    path.write_text("frame,label\n1,0\n" * 50)
    return path


def json_text(path: Path) -> Path:
    path.write_text('{"keypoints": [1, 2, 3]}')
    return path


def png(path: Path) -> Path:
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(100))
    return path


def zipped(path: Path) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a.mp4", b"x" * 100)
    return path


def noise(path: Path) -> Path:
    path.write_bytes(bytes((i * 89 + 17) % 251 | 128 for i in range(5000)))
    return path


def playlist(path: Path) -> Path:
    path.write_text("#EXTM3U\n#EXT-X-TARGETDURATION:10\n#EXTINF:10,\nfile:///etc/passwd\n#EXT-X-ENDLIST\n")
    return path


def concat_list(path: Path) -> Path:
    path.write_text("ffconcat version 1.0\nfile 'other.mp4'\n")
    return path


def manifest(path: Path) -> Path:
    path.write_text('<?xml version="1.0"?>\n<MPD xmlns="urn:mpeg:dash:schema:mpd:2011"></MPD>')
    return path


def cut_index(path: Path) -> Path:
    whole = clips.make(path).read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    return path


def cut_data(path: Path) -> Path:
    whole = clips.make(path, container={"movflags": "+faststart"}).read_bytes()
    path.write_bytes(whole[: whole.find(b"mdat") + 40])
    return path


def no_frames(path: Path) -> Path:
    return clips.make(path.with_suffix(".avi"), codec="mpeg4", frames=0)


def sound(path: Path) -> Path:
    return clips.sound_only(path)


def wide_avi(path: Path) -> Path:
    return clips.claims_avi_size(clips.make(path.with_suffix(".avi"), codec="mpeg4"), 32000, 32000)


def wide_mp4(path: Path) -> Path:
    return clips.claims_mp4_size(clips.make(path), 32000, 32000)


def wide_png(path: Path) -> Path:
    made = clips.make(path.with_suffix(".avi"), codec="png", pix_fmt="rgb24", frames=3)
    return clips.claims_png_size(made, 32000, 32000)


def quick(path: Path) -> Path:
    return clips.claims_avi_rate(clips.make(path.with_suffix(".avi"), codec="mpeg4"), 1000, 1)


def slow(path: Path) -> Path:
    return clips.claims_avi_rate(clips.make(path.with_suffix(".avi"), codec="mpeg4", frames=5), 1, 100)


REFUSED: list[tuple[Callable[[Path], Path], str]] = [
    (empty, "It is empty (0 bytes); copy it again from the recorder."),
    (text, "It is not a video but text; choose the video file itself."),
    (json_text, "It is not a video but JSON text; choose the video file itself."),
    (png, "It is not a video but an image (PNG); choose the video file itself."),
    (zipped, "It is not a video but a zip archive; choose the video file itself."),
    (noise, "It is not a video, or of a kind that is not read; export it again, for example as H.264 MP4."),
    (playlist, "It is not a video but a playlist that points at other files; choose the video file itself."),
    (concat_list, "It is not a video but a playlist that points at other files; choose the video file itself."),
    (manifest, "It is not a video but a playlist that points at other files; choose the video file itself."),
    (cut_index, "It is cut short: its index (moov) is missing; copy it again from the recorder."),
    (
        cut_data,
        "No picture in it can be decoded: it is damaged or cut short; export it again, for example as H.264 MP4.",
    ),
    (no_frames, "It has a video track without a single picture; export it again, for example as H.264 MP4."),
    (sound, "It holds sound but no pictures; choose the file with the video."),
    (
        wide_avi,
        "It says that its pictures are 32000 × 32000; at most 8192 × 8192 is read, so export it smaller.",
    ),
    (
        wide_mp4,
        "It says that its pictures are 32000 × 32000; at most 8192 × 8192 is read, so export it smaller.",
    ),
    (
        wide_png,
        "No picture in it can be decoded: it is damaged or cut short; export it again, for example as H.264 MP4.",
    ),
    (
        quick,
        "It says that it has 1000 pictures a second; from 0.1 to 240 are read, so export it at its real rate.",
    ),
    (
        slow,
        "It says that it has 0.01 pictures a second; from 0.1 to 240 are read, so export it at its real rate.",
    ),
]


@pytest.mark.parametrize(("make", "sentence"), REFUSED, ids=[make.__name__ for make, _ in REFUSED])
def test_refusals(tmp_path: Path, make: Callable[[Path], Path], sentence: str) -> None:
    with pytest.raises(BadVideo) as refusal:
        probe(make(tmp_path / "a.mp4"))
    assert str(refusal.value) == sentence


def test_over_a_day_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadVideo, match="It lasts 30 hours; at most 24 are read, so cut it into parts"):
        probe(clips.make(tmp_path / "a.mp4", times=[i * 5.0 for i in range(21601)], width=16, height=16))


def test_huge_header_allocates_nothing(tmp_path: Path) -> None:
    path = wide_png(tmp_path / "a.mp4")
    code = (
        "import sys; from pathlib import Path; from alfred.video.probe import probe, BadVideo\n"
        # VmHWM and not ru_maxrss: that one begins with what the parent had when it forked.
        "try: probe(Path(sys.argv[1]))\n"
        "except BadVideo: print(Path('/proc/self/status').read_text().split('VmHWM:')[1].split()[0])"
    )
    done = subprocess.run([sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=True)
    assert int(done.stdout) < 500_000  # kB; one such picture would be 3 000 000


def test_safely_gives_the_same_facts_and_refusals(tmp_path: Path) -> None:
    good = clips.make(tmp_path / "a.mp4")
    assert probe_safely(good) == probe(good)
    with pytest.raises(BadVideo, match="not a video but text"):
        probe_safely(text(tmp_path / "b.mp4"))


@pytest.mark.parametrize(
    "name", ["-i.mp4", "concat:a.mp4|b.mp4", "file:a.mp4", "a%03d.mp4", "https:a.mp4", "$(touch x).mp4"]
)
def test_names_are_only_names(tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    clips.make(tmp_path / "plain.mp4").rename(tmp_path / name)
    assert probe_safely(Path(name)).frames == 20
    assert sorted(p.name for p in tmp_path.iterdir()) == [name]


def test_what_is_no_file(tmp_path: Path) -> None:
    with pytest.raises(BadVideo, match="It is not a file"):
        probe(tmp_path)
    with pytest.raises(BadVideo, match="There is no such file"):
        probe(tmp_path / "http:" / "nowhere.mp4")


def test_a_dying_child_is_a_refusal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/bin/false")
    with pytest.raises(BadVideo, match="stops the decoder"):
        probe_safely(clips.make(tmp_path / "a.mp4"))


def test_the_child_has_limits(tmp_path: Path) -> None:
    code = (
        "import resource\nfrom alfred.video.probe import _limit_resources\n_limit_resources()\n"
        "print(*(resource.getrlimit(x)[0] for x in (resource.RLIMIT_AS, resource.RLIMIT_FSIZE, resource.RLIMIT_CORE)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    memory, written, core = map(int, done.stdout.split())
    assert 0 < memory < 8 << 30 and written == 0 and core == 0
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[0] != 0
