"""Recordings as a stream of decoded windows, and which recordings are meant."""

import numpy as np
import pytest
import soundfile

from birdfast.audio.recordings import MANIFEST, SEGMENTS, find_recordings, read_durations
from birdfast.audio.windows import CHUNK, Job, cut, decode

RATE = 8000


@pytest.fixture
def folder(tmp_path):
    for i, seconds in enumerate((3.0, 5.5, 4.0)):
        ramp = np.linspace(0, 0.9, round(seconds * RATE), dtype=np.float32) * (i + 1) / 3
        soundfile.write(tmp_path / f"{i}.flac", ramp, RATE, subtype="PCM_24")
    return tmp_path


def jobs(folder, *, step=1.0):
    durations, _ = read_durations(find_recordings(folder), workers=2)
    return [Job(path, length, np.arange(0, length - 0.99, step)) for path, length in durations.items()]


def test_pieces_are_cut_at_wide_gaps_and_before_they_grow_too_long():
    starts = np.concatenate([np.arange(0, 100, 5.0), [200.0]])
    pieces = list(cut([Job("x", 205.0, starts)], window=5.0))
    assert [list(piece.starts) for piece in pieces[-1:]] == [[200.0]]
    assert all(piece.starts[-1] + 5 - piece.starts[0] <= CHUNK for piece in pieces)
    np.testing.assert_array_equal(np.concatenate([piece.starts for piece in pieces]), starts)
    assert [piece.first for piece in pieces] == np.cumsum([0, *(len(p.starts) for p in pieces[:-1])]).tolist()


@pytest.mark.parametrize("workers", [1, 3])
def test_windows_come_in_order_and_are_what_the_file_holds(folder, tiny_recipe, workers):
    seen = []
    for piece, clips in decode(jobs(folder), tiny_recipe, workers=workers, skip={}):
        whole, _ = soundfile.read(piece.job.path, dtype="float32")
        for start, clip in zip(piece.starts, clips, strict=True):
            first = round(start * RATE)
            np.testing.assert_allclose(clip, whole[first : first + tiny_recipe.n_samples], atol=1e-6)
            seen.append((piece.job.path, start))
    assert seen == [(job.path, start) for job in jobs(folder) for start in job.starts] and len(seen) == 12


def test_what_breaks_is_given_in_its_place_and_what_is_to_be_skipped_is_not_read(folder, tiny_recipe):
    first, second, third = jobs(folder)
    (folder / "1.flac").write_bytes(b"no sound any more")
    (folder / "2.flac").unlink()
    given = list(decode([first, second, third], tiny_recipe, workers=2, skip={third.path: "gone"}))
    assert [piece.job.path for piece, _ in given] == [first.path, second.path]
    assert len(given[0][1]) == 3 and isinstance(given[1][1], Exception)


def test_sounds_that_were_cut_out_are_no_recordings(folder, capsys):
    results = folder / "results"
    (results / SEGMENTS / "wren").mkdir(parents=True)
    (results / SEGMENTS / "wren" / "0_cut.flac").write_bytes((folder / "0.flac").read_bytes())
    assert len(find_recordings(folder)) == 4
    (results / MANIFEST).touch()
    assert len(find_recordings(folder)) == 3 and "left out: 1 sounds" in capsys.readouterr().err
