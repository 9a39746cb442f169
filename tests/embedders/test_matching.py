from pathlib import Path
from types import SimpleNamespace

import pandas as pd
import pytest

from birdfast.embedders.matching import match_species, plain

SHARED = Path(__file__).parents[2].parent / "shared" / "data"
EMBEDDER = SimpleNamespace(
    name="toy",
    classes=("Turdus merula", "Corvus monedula", "Setophaga nigrescens", "Sula sula", "Engine"),
    common_names=("Eurasian Blackbird", "Eurasian Jackdaw", "Black-throated Gray Warbler", "Booby", "Booby"),
)


def found(classes, taxonomy=None):
    return match_species(classes, EMBEDDER, taxonomy)


@pytest.mark.parametrize(
    "name",
    [
        "Turdus merula", "turdus_merula", "TURDUS-MERULA", "Eurasian Blackbird", "eurasian_blackbird",
        "Turdus merula_Eurasian Blackbird",
    ],
)  # fmt: skip
def test_labels_that_are_names_themselves(name):
    assert found([name]).index.tolist() == [0]


def test_codes_are_explained_by_the_taxonomy():
    taxonomy = pd.DataFrame(
        {
            "primary_label": ["eurbla", "eurjac1", "btywar", "xyz"],
            "scientific_name": ["Turdus merula", "Coloeus monedula", None, "Xus yus"],
            "common_name": ["Common Blackbird", "Eurasian Jackdaw", "Black-throated Grey Warbler", "Xyz"],
        }
    )
    match = found(["btywar", "eurjac1", "eurbla", "xyz"], taxonomy)
    assert match.index.tolist() == [2, 1, 0, -1] and match.known.tolist() == [True, True, True, False]
    assert match.by_common_name == (("Coloeus monedula", "Corvus monedula"),)
    assert match.unknown == ("Xyz",)
    said = "toy knows 3 of 4 species; not: Xyz; by common name alone, check them: Coloeus monedula as Corvus monedula"
    assert str(match) == said


def test_a_common_name_that_two_classes_share_means_neither():
    assert found(["Booby", "Sula sula"]).index.tolist() == [-1, 3]


def test_a_scientific_name_goes_before_a_common_name():
    taxonomy = pd.DataFrame(
        {"primary_label": ["a"], "scientific_name": ["Sula sula"], "common_name": ["Eurasian Jackdaw"]}
    )
    assert found(["a"], taxonomy).index.tolist() == [3]


def test_many_unknown_names_are_cut_short():
    assert str(found([f"Xus {k}" for k in "abcdefghijkl"])).endswith("Xus h and 4 more")


def test_plain_names():
    assert plain("Bewick's_Wren ") == plain("bewick’s wren") == "bewicks wren"
    assert plain("Grayish Baywing") == "grayish baywing"


@pytest.mark.skipif(not SHARED.is_dir(), reason="the real data sets are not beside this checkout")
@pytest.mark.parametrize(("folder", "known", "n"), [("field", 34, 41), ("mini_birdclef", 10, 10)])
def test_real_data_sets(birdnet, folder, known, n):
    taxonomy = pd.read_csv(SHARED / folder / "taxonomy.csv")
    match = match_species(taxonomy["primary_label"].tolist(), birdnet, taxonomy)
    assert match.known.sum() == known and f"birdnet knows {known} of {n} species" in str(match)
    by_name = match_species(taxonomy["scientific_name"].str.replace(" ", "_").str.lower().tolist(), birdnet)
    assert (by_name.index >= 0).sum() >= known - len(match.by_common_name)
