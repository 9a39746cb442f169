"""Which models can be averaged."""

import pytest

from birdfast.errors import BirdfastError
from birdfast.recipe.recipe import Recipe
from birdfast.scoring.together import check_together


def test_a_model_of_another_window_is_refused_in_the_words_of_its_recipe():
    recipe = Recipe().with_(duration=5.0)
    with pytest.raises(BirdfastError, match=r"its recipe has window 2.5, the first model's 5.0"):
        check_together((recipe, ["a"]), (recipe.with_(window=2.5), ["a"]), "b.safetensors")
