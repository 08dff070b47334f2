import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from spikewright.compiler.frontend import read_nir
from spikewright.errors import DataError, ImageError, ModelError, SpecError
from spikewright.files import read_spec, read_spikes
from spikewright.image import CoreImage
from spikewright.storage import read_file


@pytest.fixture
def pipe(tmp_path: Path) -> Iterator[Path]:
    """A pipe whose writer waits: who reads it gets bytes, and does not wait for ever."""
    path = tmp_path / "pipe"
    os.mkfifo(path)
    writer = threading.Thread(target=path.write_bytes, args=(b"data",), daemon=True)
    writer.start()
    yield path
    reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    writer.join()
    os.close(reader)


@pytest.mark.parametrize(
    ("read", "kind"),
    [
        (lambda path: read_file(path, 99), OSError),
        (CoreImage.load, ImageError),
        (read_nir, ModelError),
        (read_spec, SpecError),
        (read_spikes, DataError),
    ],
    ids=["bytes", "image", "network", "spec", "spikes"],
)
def test_pipe_is_refused_unopened(
    read: Callable[[Path], object], kind: type[Exception], pipe: Path
) -> None:
    """It might never give anything, and whoever asked would wait."""
    with pytest.raises(kind, match="Not a regular file"):
        read(pipe)


def test_largest_file(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(bytes(100))
    assert read_file(path, 100) == bytes(100)
    with pytest.raises(OSError, match="File too large"):
        read_file(path, 99)
