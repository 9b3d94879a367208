"""What a recipe of any task can say about its model card."""

import re
from dataclasses import dataclass, field

from huggingface_hub.errors import HFValidationError
from huggingface_hub.utils._validators import validate_repo_id

from hf_contrastive.arguments.licences import LICENCES
from hf_contrastive.errors import RecipeError, did_you_mean


@dataclass
class CardArguments:
    """What nobody can measure: names and licence, for the front matter of the model card."""

    card_base_model: str | None = field(
        default=None, metadata={"help": "Hub name of the base model; default: model_name_or_path where it is one."}
    )
    card_datasets: list[str] | None = field(
        default=None, metadata={"help": "Hub names of the training data; default: train_data where it is one."}
    )
    card_language: list[str] | None = field(default=None, metadata={"help": "Language codes, such as en."})
    card_license: str | None = field(default=None, metadata={"help": "The Hub's name of a licence, such as mit."})
    card_tags: list[str] | None = field(default=None, metadata={"help": "Tags beside those the task brings."})

    def __post_init__(self) -> None:
        for key, names in (("card_base_model", [self.card_base_model]), ("card_datasets", self.card_datasets or [])):
            for name in names:
                if name is not None and not is_hub_name(name):
                    raise RecipeError(f"{key}: {name!r} is no name on the Hub; write owner/name")
        for code in self.card_language or []:
            if not re.fullmatch(r"[a-z]{2,3}|multilingual", code):
                raise RecipeError(
                    f"card_language: {code!r} is no language code; write two or three letters, such as en"
                )
        if self.card_license is not None and self.card_license not in LICENCES:
            near = did_you_mean(self.card_license, LICENCES, "write its identifier, such as apache-2.0, or other")
            raise RecipeError(f"card_license: {self.card_license!r} is no licence of the Hub{near}")


def is_hub_name(name: str) -> bool:
    """Whether `name` could be a repository on the Hub, `owner/name` or `name`."""
    try:
        validate_repo_id(name)
    except HFValidationError:
        return False
    return True
