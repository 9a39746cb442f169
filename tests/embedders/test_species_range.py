import pytest

from birdfast.embedders.species_range import check_place, range_scores
from birdfast.errors import BirdfastError


def test_berlin_in_may(birdnet):
    scores = range_scores(52.5, 13.4, 17)
    assert set(scores) == set(birdnet.classes)
    assert scores["Turdus merula"] > 0.9 and scores["Parus major"] > 0.9
    assert scores["Melozone crissalis"] < 0.01  # of California
    assert all(0 <= score <= 1 for score in scores.values())


def test_a_year_is_the_best_of_its_weeks(birdnet):
    name = "Apus apus"  # leaves in August
    year, may, winter = (range_scores(52.5, 13.4, week)[name] for week in (None, 19, 48))
    assert year >= may > winter
    assert year == max(range_scores(52.5, 13.4, week)[name] for week in range(1, 49))


@pytest.mark.parametrize(
    ("place", "says"),
    [
        ((52.5, None, 20), "lon is missing: .* give it besides lat"),
        ((None, 13.4, 20), "lat is missing: .* give it besides lon"),
        ((52.5, 13.4, 60), "week is 1 to 48, .* not 60"),
        ((52.5, 13.4, 0), "week is 1 to 48"),
        ((52.5, 13.4, 2.5), "week is 1 to 48"),
        ((95, 13.4, 20), "lat is in degrees, -90 to 90, not 95"),
        ((52.5, 181, 20), "lon is in degrees, -180 to 180, not 181"),
        ((float("nan"), 13.4, 20), "lat is in degrees"),
    ],
)
def test_places_that_cannot_be(place, says):
    with pytest.raises(BirdfastError, match=says):
        check_place(*place)
