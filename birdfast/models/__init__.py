"""Picture to logits."""

from birdfast.models.backbone import BirdModel as BirdModel
from birdfast.models.backbone import create_model as create_model
