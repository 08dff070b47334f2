"""The file of a recorded session: as it is documented, and refused when it is not."""

from pathlib import Path

import numpy as np
import pytest

from spikewright import recording
from spikewright.errors import DataError
from spikewright.recording import Recorder, read_recording

HEAD = "spikewright session 1\nbaud_hz 1000000\n"


def written(path: Path, text: str | bytes) -> Path:
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def test_what_was_recorded_is_read(tmp_path: Path) -> None:
    path = tmp_path / "session.txt"
    with Recorder(path, baud_hz=115_200) as recorder:
        recorder.sent(b"\x00\xff")
        recorder.received(b"")
        recorder.received(b"\x01")
        assert len(read_recording(path).pieces) == 2, "what is there while it goes on"
    found = read_recording(path)
    assert found.baud_hz == 115_200
    assert [(piece.to_device, piece.data, piece.line) for piece in found.pieces] == [
        (True, b"\x00\xff", 3),
        (False, b"\x01", 4),
    ]
    assert 0 <= found.pieces[0].time_s <= found.pieces[1].time_s < 60


def test_documented_format(tmp_path: Path) -> None:
    path = written(tmp_path / "s", HEAD + "0.000000 > 00ff\n0.001210 < 01\n")
    pieces = read_recording(path).pieces
    assert [piece.time_s for piece in pieces] == [0.0, 0.00121]


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("", 1),
        ("spikewright session 2\nbaud_hz 1\n", 1),
        ("spikewright session 1\n", 2),
        ("spikewright session 1\nbaud_hz -1\n", 2),
        ("spikewright session 1\nbaud_hz 99999999999\n", 2),
        (HEAD + "0.000000 > 0\n", 3),
        (HEAD + "0.000000 > \n", 3),
        (HEAD + "0.000000 = 00\n", 3),
        (HEAD + "nan > 00\n", 3),
        (HEAD + "0.000000 > 00\n\n", 4),
        (HEAD + "0.000002 > 00\n0.000001 < 00\n", 4),
        (HEAD + "0.000000 > 00\n0.000001 < 0", 4),
        (HEAD + "0.000000 > 00 \n", 3),
        (HEAD + "\u0660.000000 > 00\n", 0),
        (b"\xff\xfe", 0),
    ],
)
def test_what_is_none_is_refused(text: str | bytes, line: int, tmp_path: Path) -> None:
    path = written(tmp_path / "session.txt", text)
    with pytest.raises(DataError) as error:
        read_recording(path)
    wanted = f"{str(path)!r}, line {line}: must be " if line else f"{str(path)!r} is no recorded"
    assert error.value.what.startswith(wanted)
    assert "run --record" in error.value.hint


def test_any_damage_is_refused_or_read(tmp_path: Path) -> None:
    rng = np.random.default_rng(2)
    whole = (HEAD + "".join(f"0.{n:06d} > {n:04x}\n" for n in range(50))).encode()
    read = refused = 0
    for _ in range(500):
        data = bytearray(whole[: int(rng.integers(1, len(whole)))])
        for _ in range(3):
            data[int(rng.integers(len(data))) : int(rng.integers(len(data)))] = rng.bytes(2)
            data = data or bytearray(1)
        if rng.random() < 0.5:  # a digit may become another one
            data = bytearray(whole)
            data[int(rng.integers(len(data)))] = int(rng.choice(list(b"0123456789abcdef")))
        try:
            pieces = read_recording(written(tmp_path / "session.txt", bytes(data))).pieces
        except DataError:
            refused += 1
        else:
            read += 1
            assert len(pieces) <= 50
            assert sum(len(piece.data) for piece in pieces) <= len(data)
    print(f"{read} read, {refused} refused")
    assert min(read, refused) > 50


def test_too_large(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = written(tmp_path / "session.txt", HEAD + "0.000000 > 00\n" * 10)
    monkeypatch.setattr(recording, "MAX_PIECES", 9)
    with pytest.raises(DataError, match="has more than 9 lines"):
        read_recording(path)
    monkeypatch.setattr(recording, "MAX_BYTES", 50)
    with pytest.raises(DataError, match=r"^Cannot read .*: File too large"):
        read_recording(path)


def test_pipe_and_folder(tmp_path: Path) -> None:
    for path in (Path("/dev/zero"), tmp_path, tmp_path / "none"):
        with pytest.raises(DataError, match=r"^Cannot read "):
            read_recording(path)
