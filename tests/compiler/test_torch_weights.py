import io
import os
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from spikewright.compiler import compile_network
from spikewright.errors import ModelError

torch = pytest.importorskip("torch")
weights = pytest.importorskip("spikewright.compiler.torch_weights")


class Exploit:
    """Unpickling this makes a folder."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return os.mkdir, (str(self.path),)


def net(n: int = 3) -> Any:
    return torch.nn.Sequential(torch.nn.Linear(4, n), torch.nn.Linear(n, 2))


def test_state_dict_is_loaded(tmp_path: Path) -> None:
    trained, module = net(), net()
    torch.save(trained.state_dict(), tmp_path / "w.pt")
    weights.load_weights(module, tmp_path / "w.pt")
    for name, value in trained.state_dict().items():
        assert torch.equal(module.state_dict()[name], value), name


def test_other_state_dict_is_named_tensor_by_tensor(tmp_path: Path) -> None:
    torch.save({**net(5).state_dict(), "more": torch.zeros(1)}, tmp_path / "w.pt")
    module = net()
    before = module[0].weight.clone()
    with pytest.raises(ModelError) as caught:
        weights.load_weights(module, tmp_path / "w.pt")
    assert "the module has no 'more'" in caught.value.reasons
    assert "'0.weight' must have shape (3, 4), not (5, 4)" in caught.value.reasons
    assert torch.equal(module[0].weight, before)


def test_numbers_that_the_module_cannot_hold_are_refused(tmp_path: Path) -> None:
    module = torch.nn.BatchNorm1d(3)
    content = module.state_dict()
    content |= {"weight": torch.ones(3, dtype=torch.complex64)}
    content |= {"num_batches_tracked": torch.tensor(1.5), "bias": torch.ones(3).double()}
    torch.save(content, tmp_path / "w.pt")
    with pytest.raises(ModelError) as caught:
        weights.load_weights(module, tmp_path / "w.pt")
    assert caught.value.reasons == (
        "'num_batches_tracked' must be torch.int64, not torch.float32",
        "'weight' must be torch.float32, not torch.complex64",
    )


def test_no_code_runs(tmp_path: Path) -> None:
    made = tmp_path / "made"
    torch.save({"0.weight": Exploit(made)}, tmp_path / "w.pt")
    with pytest.raises(ModelError, match="cannot be read: UnpicklingError"):
        weights.load_weights(net(), tmp_path / "w.pt")
    assert not made.exists()


@pytest.mark.parametrize(
    ("content", "why"),
    [
        ([torch.zeros(2)], "it holds a list, not a state dict"),
        ({"model": {"weight": torch.zeros(2)}}, "its entry 'model' is no tensor"),
        ({"w": torch.zeros(1).expand(1 << 40)}, "its tensors take 4194304 MiB, over 256 MiB"),
        ({"w": torch.eye(3).to_sparse()}, "its tensor 'w' is not a plain one"),
    ],
)
def test_other_content_is_refused(tmp_path: Path, content: Any, why: str) -> None:
    torch.save(content, tmp_path / "w.pt")
    with pytest.raises(ModelError, match=why):
        weights.load_weights(net(), tmp_path / "w.pt")


def test_damaged_files_are_refused_or_fit(tmp_path: Path) -> None:
    """Mutants; each ends in an error of ours or in tensors of the right shapes."""
    buffer = io.BytesIO()
    torch.save(net().state_dict(), buffer)
    rng = np.random.default_rng(3)
    refused = 0
    for k in range(4):
        data = bytearray(buffer.getvalue())
        at = rng.integers(len(data), size=1 + 20 * k)
        for place in at:
            data[place] ^= int(rng.integers(1, 256))
        path = tmp_path / f"{k}.pt"
        path.write_bytes(data[: len(data) // 2] if k == 3 else data)
        try:
            weights.load_weights(net(), path)
        except ModelError:
            refused += 1
    assert refused >= 2


def test_zip_bomb_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "bomb.pt"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("w/data.pkl", bytes(1 << 28))
    with pytest.raises(ModelError, match="cannot be read"):
        weights.load_weights(net(), path)


def test_missing_file_and_folder(tmp_path: Path) -> None:
    for path in (tmp_path / "none.pt", tmp_path):
        with pytest.raises(ModelError, match="Cannot read weights"):
            weights.load_weights(net(), path)


def test_weights_alone_are_no_network(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="does not say what its layers do") as caught:
        compile_network(tmp_path / "w.pt")
    assert "weights.load_weights(module, path)" in caught.value.hint
