"""What `push_to_hub` in a recipe or in `TrainingArguments` does: publish the model, and nothing of its training."""

from pathlib import Path

from transformers import TrainingArguments

from hf_contrastive.hub import Published, publish
from hf_contrastive.hub.publish import hub_api, open_repository


def hub_name(args: TrainingArguments) -> str:
    """`hub_model_id`, else the name of the folder of the run."""
    return args.hub_model_id or Path(args.output_dir).absolute().name


def open_hub_model(args: TrainingArguments, token: str | None = None, private: bool | None = None) -> str:
    """Make the repository where it is not there; returns its name with its owner.

    Raises:
        PublishError: no token, a wrong one, no right to write, or no network.
    """
    private = args.hub_private_repo if private is None else private
    return open_repository(hub_api(token or args.hub_token), hub_name(args), private=bool(private))


def push_folder(
    folder: Path,
    args: TrainingArguments,
    token: str | None = None,
    revision: str | None = None,
    private: bool | None = None,
) -> Published:
    """Publish a model folder as the arguments say.

    Raises:
        PublishError: the Hub cannot be reached, or does not let us.
    """
    return publish(
        folder,
        hub_name(args),
        private=bool(args.hub_private_repo if private is None else private),
        revision=revision or args.hub_revision,
        token=token or args.hub_token,
    )
