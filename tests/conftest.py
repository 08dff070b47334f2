import argparse
import importlib
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

# Tests are no package: plain modules here, such as `conformance`, are shared by importing them.
sys.path.insert(0, str(Path(__file__).parent))


class Example:
    """An example's modules by name; they import each other as a script's do."""

    def __getattr__(self, name: str) -> ModuleType:
        return importlib.import_module(name)


@pytest.fixture(scope="module")
def digits() -> Iterator[Example]:
    """The example of that name."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(Path(__file__).parents[1] / "examples" / "digits")
        yield Example()


@pytest.fixture(scope="module")
def learning() -> Iterator[Example]:
    """The examples of that folder, which take their digits from the other."""
    examples = Path(__file__).parents[1] / "examples"
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(examples / "digits")
        patch.syspath_prepend(examples / "learning")
        yield Example()


@pytest.fixture
def cores(learning: Example) -> Iterator[Any]:
    """The core of a learning example on the golden model."""
    with learning.common.Cores(argparse.Namespace(target="golden", compare=None)) as cores:
        yield cores
