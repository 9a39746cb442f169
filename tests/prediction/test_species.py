"""Lists of species to keep and to drop."""

import pytest

from birdfast.errors import BirdfastError
from birdfast.prediction.outputs.species import choose, read_names

CLASSES = ["ash", "bee", "cow"]


def test_names_from_text_and_from_a_file(tmp_path):
    assert read_names("cow, ash,cow") == ["cow", "ash"]
    (tmp_path / "list.txt").write_text("\ufeffash # a comment\n\n# none\ncow\n")
    assert read_names(str(tmp_path / "list.txt")) == ["ash", "cow"]
    assert len(read_names(",".join(map(str, range(1000))))) == 1000, "longer than a file's name may be"
    with pytest.raises(BirdfastError, match="no list of species at .*none.txt"):
        read_names(str(tmp_path / "none.txt"))
    with pytest.raises(BirdfastError, match="names no species"):
        read_names(" , ")
    (tmp_path / "latin.txt").write_bytes("zeledé\n".encode("latin-1"))
    assert read_names(str(tmp_path / "latin.txt")) == ["zeledé"]


def test_keep_and_drop_in_the_models_order():
    assert choose(CLASSES) == CLASSES
    assert choose(CLASSES, keep="cow,ash") == ["ash", "cow"]
    assert choose(CLASSES, drop=["bee"]) == ["ash", "cow"]
    assert choose(CLASSES, keep="cow,ash", drop="cow") == ["ash"]


@pytest.mark.parametrize("what", ["keep", "drop"])
def test_names_the_model_does_not_know(what, capsys):
    kept = choose(CLASSES, **{what: "bee,wren"})
    assert kept == (["bee"] if what == "keep" else ["ash", "cow"])
    assert f"1 of 2 names to {what} are no classes of the model and change nothing: wren" in capsys.readouterr().err
    with pytest.raises(BirdfastError, match=f"1 of 2 names to {what} are no classes of the model: wren"):
        choose(CLASSES, **{what: "bee,wren"}, strict=True)
    with pytest.raises(BirdfastError, match=f"none of the 2 names to {what}"):
        choose(CLASSES, **{what: "wren,robin"})


def test_nothing_left():
    with pytest.raises(BirdfastError, match="no class is left"):
        choose(CLASSES, drop="ash,bee,cow")
