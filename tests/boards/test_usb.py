from pathlib import Path

import pytest
from plugged import Sysfs, a_sysfs

from spikewright.boards import usb
from spikewright.boards.bridges import BRIDGES, udev_rules
from spikewright.boards.usb import has_rule, usb_devices


@pytest.fixture
def sysfs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Sysfs:
    return a_sysfs(tmp_path / "usb", monkeypatch)


def test_devices_in_order(sysfs: Sysfs) -> None:
    assert usb_devices() == []
    later = sysfs.plug(2, 3, "046d:c077")
    first = sysfs.plug(1, 12, "0403:6015", "ULX3S FPGA 85K v3.0.8", "D00123")
    assert usb_devices() == [first, later]
    assert (first.address, first.usb_id) == ("1:12", "0403:6015")
    assert (later.product, later.serial) == ("", "")
    assert first.is_accessible


def test_a_device_that_goes_while_it_is_read(sysfs: Sysfs) -> None:
    sysfs.plug(1, 2, "0403:6015")
    (sysfs.root / "devices" / "1-2" / "devnum").unlink()
    assert usb_devices() == []


def test_a_node_that_is_not_there_may_not_be_used(sysfs: Sysfs) -> None:
    device = sysfs.plug(1, 2, "0403:6015")
    device.node.unlink()
    assert not device.is_accessible


def test_another_connection_has_another_name(sysfs: Sysfs) -> None:
    device = sysfs.plug(1, 2, "0403:6015")
    before = device.connection
    assert device.connection == before
    device.node.rename(device.node.with_name("old"))
    device.node.touch()
    assert device.connection != before


def test_a_system_without_a_list(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(usb, "SYSFS", tmp_path / "absent")
    assert usb_devices() is None


def test_rules_are_found(tmp_path: Path) -> None:
    folders = (tmp_path / "a", tmp_path / "b")
    folders[1].mkdir()
    rules = folders[1] / "70-spikewright.rules"
    for bridge in BRIDGES.values():
        assert not has_rule(bridge.vid, bridge.pid, folders)
    rules.write_text(udev_rules())
    for bridge in BRIDGES.values():
        assert has_rule(bridge.vid, bridge.pid, folders)
    assert not has_rule(0x0403, 0x6001, folders)
    rules.write_text("\n".join(f"# {line}" for line in udev_rules().splitlines()))
    assert not has_rule(0x0403, 0x6015, folders)
