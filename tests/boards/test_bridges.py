import pytest

from spikewright.boards.bridges import BRIDGES, find_bridge, likely_boards, udev_rules
from spikewright.boards.catalog import BOARDS
from spikewright.errors import SpecError

DIGILENT = ("cmod-a7-35t", "arty-a7-35t", "arty-a7-100t", "basys3")


@pytest.mark.parametrize(
    ("usb_id", "product", "boards"),
    [
        ("0403:6015", "ULX3S FPGA 85K v3.0.8", ("ulx3s-85f",)),
        ("0403:6015", "ULX3S FPGA 12K v3.0.3", ("ulx3s-12f",)),
        ("0403:6015", "FT231X USB UART", ("ulx3s-12f", "ulx3s-85f")),
        ("0403:6010", "iCEBreaker V1.0e", ("icebreaker",)),
        ("0403:6010", "Dual RS232-HS", ("icebreaker",)),
        ("0403:6010", "JTAG Debugger", ("tangnano9k",)),
        ("0403:6010", "Digilent USB Device", DIGILENT),
        ("0403:6010", "Digilent Adept USB Device", DIGILENT),
        ("0403:6010", None, ("icebreaker", "tangnano9k", *DIGILENT)),
        ("1209:5af0", "OrangeCrab r0.2 DFU bootloader", ("orangecrab-25f",)),
        ("0403:6001", "FT232R USB UART", ()),
    ],
)
def test_likely_boards(usb_id: str, product: str | None, boards: tuple[str, ...]) -> None:
    vid, pid = (int(part, 16) for part in usb_id.split(":"))
    assert likely_boards(vid, pid, product) == boards


def test_a_port_of_no_usb_device_is_no_board() -> None:
    assert likely_boards(None, None, None) == ()


def test_find_bridge() -> None:
    assert find_bridge("ulx3s-85f").usb_id == "0403:6015"
    with pytest.raises(SpecError) as caught:
        find_bridge("ulx3s")
    assert caught.value.what == "There is no board 'ulx3s'."
    assert "ulx3s-12f, ulx3s-85f" in caught.value.hint


def test_each_board_has_its_bridge() -> None:
    assert set(BOARDS) == set(BRIDGES)


def test_rules_name_each_bridge_once() -> None:
    comment, *rules = udev_rules().splitlines()
    assert comment.startswith("# ")
    assert len(rules) == len(set(rules)) == 2 * len({b.usb_id for b in BRIDGES.values()})
    for bridge in BRIDGES.values():
        vid, pid = bridge.usb_id.split(":")
        ids = f'ATTRS{{idVendor}}=="{vid}", ATTRS{{idProduct}}=="{pid}"'
        found = [rule for rule in rules if ids in rule]
        assert [rule.split(",")[0] for rule in found] == ['SUBSYSTEM=="usb"', 'SUBSYSTEM=="tty"']
        assert all(rule.endswith('TAG+="uaccess"') for rule in found)
