"""Every BirdCLEF from 2021 to 2026, each as a small made-up folder."""

import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile

from birdfast.audio.read import read_clip
from birdfast.errors import BirdfastError
from birdfast.sources.birdclef import find_birdclef, read_birdclef
from birdfast.sources.read import read_source

EBIRD = (
    "TAXON_ORDER,CATEGORY,SPECIES_CODE,PRIMARY_COM_NAME,SCI_NAME\n"
    "3,species,wren,Wren,Troglodytes\n1,species,robin,Robin,Erithacus\n2,species,owl,Owl,Strix\n"
)
TAXONOMY = (
    "primary_label,inat_taxon_id,scientific_name,common_name,class_name\n"
    "1491113,1491113,Adenomera,Frog,Amphibia\n47158son01,47158,Insecta,Sonotype,Insecta\n"
    "robin,1,Erithacus,Robin,Aves\nwren,2,Troglodytes,Wren,Aves\n"
)
SOUND = np.random.default_rng(0).normal(0, 0.1, 16_000)


def sounds(root: Path, *names: str) -> None:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(root / name, SOUND, 32_000)


def write(root: Path, **files: str) -> None:
    for name, text in files.items():
        (root / f"{name}.csv").write_text(text)


def check(source, year: int, classes: list[str]) -> pd.DataFrame:
    """What holds in every year; returns the recordings."""
    assert (source.layout, source.year, source.classes) == (f"BirdCLEF {year}", year, classes)
    assert source.taxonomy["primary_label"].tolist() == classes
    t = source.recordings
    assert all(isinstance(label, str) for label in t["primary_label"])
    assert all(type(others) is tuple for others in t["secondary_labels"])
    assert len(read_clip(t["path"].iloc[0], duration=0.5)) == 16_000
    return t


def test_2021(tmp_path):
    root = tmp_path / "birdclef-2021"
    sounds(root, "train_short_audio/wren/XC1.ogg", "train_short_audio/robin/XC2.ogg")
    sounds(root, "train_soundscapes/3575_COR_20190904.ogg")
    (root / "test_soundscapes").mkdir()
    write(
        root,
        train_metadata="primary_label,secondary_labels,type,latitude,longitude,scientific_name,common_name,author,date,"
        "filename,license,rating,time,url\n"
        "wren,\"['robin', 'gull']\",['song'],1,2,Troglodytes,Wren,Ann,2020-01-01,XC1.ogg,CC,4.5,06:00,http\n"
        "robin,[],['song'],1,2,Erithacus,Robin,,2020-01-01,XC2.ogg,CC,0,06:00,http\n",
        train_soundscape_labels="row_id,site,audio_id,seconds,birds\n3575_COR_5,COR,3575,5,owl wren\n"
        "3575_COR_10,COR,3575,10,nocall\n",
        sample_submission="row_id,birds\n2782_SSW_5,nocall\n",
    )
    source = read_birdclef(root)
    t = check(source, 2021, ["owl", "robin", "wren"])
    assert t["path"].tolist()[1] == str(root / "train_short_audio/robin/XC2.ogg")
    assert t["secondary_labels"].tolist() == [("robin",), ()]
    assert t["author"].isna().tolist() == [False, True]
    assert t["rating"].isna().tolist() == [False, True]
    assert source.soundscapes["labels"].tolist() == [("owl", "wren"), ()]
    assert Path(source.soundscapes["path"][0]).is_file()
    assert source.unlabelled is None
    assert source.test == root / "test_soundscapes"


def test_2022(tmp_path):
    root = tmp_path / "birdclef-2022"
    sounds(root, "train_audio/wren/XC1.ogg", "train_audio/robin/XC2.ogg", "test_soundscapes/soundscape_453028782.ogg")
    (root / "scored_birds.json").write_text('["owl", "wren"]')
    write(
        root,
        train_metadata="primary_label,secondary_labels,type,latitude,longitude,scientific_name,common_name,author,"
        "license,rating,time,url,filename\nwren,[],['call'],1,2,T,Wren,Ann,CC,5,06:00,http,wren/XC1.ogg\n"
        "robin,['wren'],['call'],1,2,E,Robin,Bob,CC,3,06:00,http,robin/XC2.ogg\n",
        eBird_Taxonomy_v2021=EBIRD,
        sample_submission="row_id,target\nsoundscape_453028782_owl_5,False\n",
    )
    source = read_birdclef(root)
    t = check(source, 2022, ["owl", "robin", "wren"])
    assert t["secondary_labels"].tolist() == [(), ("wren",)]
    assert source.taxonomy["scored"].tolist() == [True, False, True]
    assert source.taxonomy["scientific_name"].tolist() == ["Strix", "Erithacus", "Troglodytes"]
    assert source.soundscapes is None


@pytest.mark.parametrize("year", [2023, 2024])
def test_2023_and_2024(tmp_path, year):
    root = tmp_path / "data"  # the name does not tell the year
    sounds(root, "train_audio/wren/XC1.ogg", "train_audio/robin/XC2.ogg", "test_soundscapes/soundscape_29201.ogg")
    if year == 2024:
        sounds(root, "unlabeled_soundscapes/460830.ogg")
    write(
        root,
        train_metadata="primary_label,secondary_labels,type,latitude,longitude,scientific_name,common_name,author,"
        "license,rating,url,filename\nwren,[],['call'],1,,T,Wren,Ann,CC,5,http,wren/XC1.ogg\n"
        "robin,\"['wren', 'gull']\",['call'],1,2,E,Robin,unknown,CC,3.5,http,robin/XC2.ogg\n",
        eBird_Taxonomy_v2021=EBIRD,
        sample_submission="row_id,wren,robin,owl\nsoundscape_29201_5,0,0,0\n",
    )
    source = read_birdclef(root)
    t = check(source, year, ["wren", "robin", "owl"])  # the sample's order
    assert t["secondary_labels"].tolist() == [(), ("wren",)]
    assert t["author"].isna().tolist() == [False, True]
    assert source.taxonomy["common_name"].tolist() == ["Wren", "Robin", "Owl"]
    assert source.unlabelled == (root / "unlabeled_soundscapes" if year == 2024 else None)
    assert source.sample_submission == root / "sample_submission.csv"


def test_2025(tmp_path):
    root = tmp_path / "birdclef-2025"
    sounds(root, "train_audio/1491113/iNat1.ogg", "train_audio/wren/XC1.ogg", "train_audio/wren/CSA2.ogg")
    sounds(root, "train_soundscapes/H02_20230420_074000.ogg")
    (root / "test_soundscapes").mkdir()
    write(
        root,
        train="primary_label,secondary_labels,type,filename,collection,rating,url,latitude,longitude,scientific_name,"
        "common_name,author,license\n1491113,[''],[''],1491113/iNat1.ogg,iNat,0.0,http,,,Adenomera,Frog,Ann,CC\n"
        "wren,\"['1491113', 'x']\",['song'],wren/XC1.ogg,XC,4.0,http,1,2,T,Wren,Bob,CC\n"
        "wren,[''],[''],wren/CSA2.ogg,CSA,0.0,http,1,2,T,Wren,Anonymous,CC\n",
        taxonomy=TAXONOMY,
        sample_submission="row_id,1491113,47158son01,robin,wren\nsoundscape_8358733_5,0,0,0,0\n",
    )
    source = read_birdclef(root)
    t = check(source, 2025, ["1491113", "47158son01", "robin", "wren"])
    assert t["secondary_labels"].tolist() == [(), ("1491113",), ()]
    assert t["rating"].isna().tolist() == [True, False, True]
    assert t["author"].isna().tolist() == [False, False, True]
    assert t["path"].tolist()[0] == str(root / "train_audio/1491113/iNat1.ogg")
    assert source.unlabelled == root / "train_soundscapes"
    assert source.soundscapes is None


def folder_2026(root: Path) -> Path:
    sounds(root, "train_audio/wren/XC1.ogg", "train_audio/robin/iNat2.ogg")
    sounds(root, "train_soundscapes/BC2026_Train_0001_S05_20250227_010002.ogg")
    sounds(root, "train_soundscapes/BC2026_Train_0002_S05_20250227_020002.ogg")
    (root / "test_soundscapes").mkdir()
    row = "BC2026_Train_0001_S05_20250227_010002.ogg,00:00:00,00:00:05,47158son01;wren;gull\n"
    write(
        root,
        train="primary_label,secondary_labels,type,latitude,longitude,scientific_name,common_name,class_name,"
        "inat_taxon_id,author,license,rating,url,filename,collection\n"
        "wren,['robin'],song,1,2,T,Wren,Aves,2,Ann,CC,4,http,wren/XC1.ogg,XC\n"
        "robin,[],call,1,2,E,Robin,Aves,1,Bob,CC,0,http,robin/iNat2.ogg,iNat\n",
        taxonomy=TAXONOMY,
        train_soundscapes_labels="filename,start,end,primary_label\n" + row + row,
    )
    return root


def test_2026(tmp_path):
    root = folder_2026(tmp_path / "birdclef-2026")
    source = read_birdclef(root)
    t = check(source, 2026, ["1491113", "47158son01", "robin", "wren"])  # taxonomy's: two have no recording
    assert set(t["primary_label"]) == {"robin", "wren"}
    assert t["rating"].isna().tolist() == [False, True]
    assert source.soundscapes["labels"].tolist() == [("47158son01", "wren")]
    assert source.soundscapes[["start_time", "end_time"]].values.tolist() == [[0, 5]]
    assert source.unlabelled == root / "train_soundscapes"  # one of its two is labelled
    assert source.sample_submission is None
    write(root, sample_submission="row_id,wren,robin,47158son01,1491113\nBC2026_Test_0001_5,0,0,0,0\n")
    assert read_source(root).classes == ["wren", "robin", "47158son01", "1491113"]


def test_single_missing_files_are_no_error_but_all_are(tmp_path):
    root = folder_2026(tmp_path / "birdclef-2026")
    (root / "train_audio/wren/XC1.ogg").unlink()
    assert len(read_birdclef(root).recordings) == 2
    (root / "train_audio/robin/iNat2.ogg").unlink()
    with pytest.raises(BirdfastError, match=r"none of the 2 files.*train_audio/wren/XC1.ogg.*audio_root"):
        read_birdclef(root)
    sounds(tmp_path / "copy", "wren/XC1.ogg")
    assert read_source(root, audio_root=tmp_path / "copy").recordings["path"][0] == str(tmp_path / "copy/wren/XC1.ogg")


DAMAGE = {
    "empty csv": ("train.csv", lambda data: b"", "cannot be read as csv"),
    "a ragged line": ("train.csv", lambda data: data.rstrip() + b",x,y\n", "cannot be read as csv.*saw 17"),
    "empty sample": ("sample_submission.csv", lambda data: b"", "cannot be read as csv"),
    "empty taxonomy": ("taxonomy.csv", lambda data: b"", "cannot be read as csv"),
    "foreign taxonomy": ("taxonomy.csv", lambda data: b"a,b\n1,2\n", "no column primary_label.*it has a, b"),
    "empty soundscape labels": ("train_soundscapes_labels.csv", lambda data: b"", "cannot be read as csv"),
    "empty scored birds": ("scored_birds.json", lambda data: b"", "is no list of species in json"),
    "a number of scored birds": ("scored_birds.json", lambda data: b"21", "is no list of species in json"),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_damage_is_told_by_file_and_remedy(tmp_path, damage):
    root = folder_2026(tmp_path / "birdclef-2026")
    name, spoil, words = DAMAGE[damage]
    (root / name).write_bytes(spoil((root / name).read_bytes() if (root / name).exists() else b""))
    with pytest.raises(BirdfastError, match=f"{root / name} .*{words}.*take a fresh copy"):
        read_source(root)


@pytest.mark.parametrize(("text", "words"), [("", "cannot be read as csv"), ("a,b\n1,2\n", "SPECIES_CODE")])
def test_a_damaged_taxonomy_of_ebird(tmp_path, text, words):
    root = folder_2026(tmp_path / "birdclef-2026")
    (root / "taxonomy.csv").unlink()
    write(root, eBird_Taxonomy_v2021=text, sample_submission="row_id,wren,robin\nx_5,0,0\n")
    with pytest.raises(BirdfastError, match=f"eBird_Taxonomy_v2021.csv .*{words}"):
        read_source(root)


def test_labels_of_soundscapes_that_are_no_class_are_said(tmp_path, capsys):
    root = folder_2026(tmp_path / "birdclef-2026")
    source = read_source(root)
    assert source.foreign == ("gull",)
    told = (
        "1 labels in 1 windows of .*train_soundscapes_labels.csv are outside the class list, the first 'gull': dropped"
    )
    assert re.search(told, capsys.readouterr().err)
    labels = root / "train_soundscapes_labels.csv"
    text = labels.read_text()
    labels.write_text(text.replace("47158son01;wren;gull", "wren"))
    assert read_source(root).foreign == () and "outside" not in capsys.readouterr().err
    labels.write_text(text.replace("47158son01;wren;gull", '"wren,robin"'))
    with pytest.raises(BirdfastError, match=rf"{labels} are outside .*'wren,robin', and no label is inside: correct"):
        read_source(root)
    labels.write_text(text.replace("47158son01;wren;gull", "nocall"))
    assert read_source(root).soundscapes["no_call"].tolist() == [True]


def test_audio_without_a_label_file_is_an_error(tmp_path):
    (tmp_path / "train_audio").mkdir()
    with pytest.raises(BirdfastError, match=r"no train.csv or train_metadata.csv"):
        read_source(tmp_path)


@pytest.mark.parametrize("mount", ["birdclef-2026", "competitions/birdclef-2026", "datasets/someone/birdclef-2026"])
def test_the_folder_is_found_wherever_kaggle_mounts_it(tmp_path, mount):
    (tmp_path / mount).mkdir(parents=True)
    for asked in ("birdclef-2026", "/kaggle/input/birdclef-2026"):
        assert find_birdclef(asked, kaggle=tmp_path) == tmp_path / mount


def test_a_folder_that_is_nowhere(tmp_path):
    with pytest.raises(BirdfastError, match=f"{tmp_path}/competitions/birdclef-2030.*datasets"):
        find_birdclef("birdclef-2030", kaggle=tmp_path)


def test_mini_birdclef(shared_data):
    source = read_source(shared_data / "mini_birdclef")
    assert (source.layout, len(source.recordings), len(source.classes)) == ("BirdCLEF 2026", 80, 10)
    assert len(source.soundscapes) == 38
    assert all(Path(path).is_file() for path in [*source.recordings["path"], *source.soundscapes["path"]])
    assert source.recordings["rating"].isna().all()
