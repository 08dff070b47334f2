import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spikewright.errors import LinkError
from spikewright.frames import END, SKIP
from spikewright.runtime.coding import decode_spikes, encode_spikes, trim


@pytest.mark.parametrize("density", [0, 0.002, 0.05, 0.5, 1])
@pytest.mark.parametrize("lines", [1, 253, 254, 255, 256, 2048])
def test_round_trip(lines: int, density: float) -> None:
    spikes = np.random.default_rng(lines).random((20, lines)) < density
    data, start = encode_spikes(spikes)
    assert (decode_spikes(data, 20, lines) == spikes).all()
    for t in range(20):
        alone = data[start[t] : start[t + 1]]
        assert (decode_spikes(alone, 1, lines) == spikes[t : t + 1]).all()


@pytest.mark.parametrize(
    ("lines", "code"),
    [
        ([], [END]),
        ([0], [0, END]),
        ([0, 1, 2], [0, 0, 0, END]),
        ([253], [253, END]),
        ([254], [SKIP, 0, END]),
        ([255, 256], [SKIP, 1, 0, END]),
        ([3, 600], [3, SKIP, SKIP, 88, END]),
    ],
)
def test_code_is_that_of_the_table(lines: list[int], code: list[int]) -> None:
    spikes = np.zeros((1, 700), np.bool_)
    spikes[0, lines] = True
    assert encode_spikes(spikes)[0] == bytes(code)


def test_trim_leaves_the_end_of_the_last_timestep_with_spikes() -> None:
    assert trim(bytes([3, END, END, 4, END, END, END])) == bytes([3, END, END, 4, END])
    assert trim(bytes([END, END])) == b""


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"\x01", "Spikes out are not the code of 2 whole timesteps."),
        (b"\xff", "Spikes out are not the code of 2 whole timesteps."),
        (b"\xff\xff\xff", "Spikes out are not the code of 2 whole timesteps."),
        (b"\xff\xff\x01", "Spikes out are not the code of 2 whole timesteps."),
        (b"\xff\xfe\xff", "Spikes out are not the code of 2 whole timesteps."),
        (b"\xff\x08\xff", "Spikes out must be of lines 0 to 7, not 8."),
        (b"\xff\xfe\x00\xff", "Spikes out must be of lines 0 to 7, not 254."),
    ],
)
def test_other_bytes_are_an_error(data: bytes, message: str) -> None:
    with pytest.raises(LinkError) as caught:
        decode_spikes(data, 2, 8)
    assert caught.value.what == message


@given(st.lists(st.sampled_from([0, 1, 7, 200, SKIP, END]) | st.integers(0, 255)).map(bytes))
def test_what_decodes_has_one_code_only(data: bytes) -> None:
    timesteps = data.count(END)
    try:
        spikes = decode_spikes(data, timesteps, 600)
    except LinkError:
        return
    assert encode_spikes(spikes)[0] == data
