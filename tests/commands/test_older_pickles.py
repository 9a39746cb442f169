"""A learner that birdfast 0.1 pickled is refused with the version and the remedy: its names lead nowhere now."""

import sys
from types import ModuleType

import pytest
import torch

from birdfast.commands.exporting.pickles import load_pickle
from birdfast.commands.exporting.write import export
from birdfast.errors import BirdfastError


@pytest.fixture
def pickled(tmp_path, monkeypatch):
    """Pickles an object of a class by the name that 0.1 gave it, which is gone afterwards."""

    def write(module: str, name: str):
        path = tmp_path / "learner.pkl"
        with monkeypatch.context() as patch:
            for part in ("birdfast.recordings", module) if module not in sys.modules else ():
                patch.setitem(sys.modules, part, ModuleType(part))
            stand_in = type(name, (), {"__module__": module})
            patch.setattr(sys.modules[module], name, stand_in, raising=False)
            torch.save(stand_in(), path, pickle_protocol=2)
        return path

    return write


@pytest.mark.parametrize(
    ("module", "name"), [("birdfast.recipe", "Recipe"), ("birdfast.recordings.bad_files", "BadFiles")]
)
def test_it_is_refused_with_the_version_and_the_remedy(pickled, module, name):
    path = pickled(module, name)
    with pytest.raises(
        BirdfastError, match=r"pickled by birdfast 0\.1, .*take the bundle of its run, or where"
    ) as said:
        load_pickle(path)
    assert f"birdfast export {path} {path.with_suffix('.safetensors')}" in str(said.value)
    (path.parent / "birds.safetensors").touch()
    with pytest.raises(BirdfastError, match=r"take the bundle beside it, .*birds\.safetensors"):
        export(path, path.with_name("out.onnx"))
