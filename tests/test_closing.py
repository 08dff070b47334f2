import pytest

from spikewright.closing import Closing


class Held(Closing):
    def __init__(self) -> None:
        self.closed: list[bool] = []

    def close(self) -> None:
        self.closed.append(True)


def test_block_gets_the_thing_itself_and_closes_it() -> None:
    held = Held()
    with held as inside:
        assert inside is held
        assert not held.closed
    assert held.closed == [True]


def test_block_that_fails_closes_too_and_hides_nothing() -> None:
    held = Held()
    with pytest.raises(KeyError), held:
        raise KeyError
    assert held.closed == [True]
