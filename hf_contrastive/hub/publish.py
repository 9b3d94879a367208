"""From a model folder to a repository on the Hub, in one commit that is whole or not there."""

import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from huggingface_hub import CommitOperationAdd, CommitOperationDelete, HfApi, get_token
from huggingface_hub import errors as hub

from hf_contrastive import __version__
from hf_contrastive.arguments import is_hub_name
from hf_contrastive.errors import ContrastiveError
from hf_contrastive.hub.files import ModelFiles, model_files
from hf_contrastive.hub.validate import TOKEN

logger = logging.getLogger(__name__)

_HTTP_ERROR: type[Any] = hub.HfHubHTTPError.__bases__[0]  # of httpx or of its successor, whichever the client uses
_LOG_IN = "log in with `hf auth login`, or set HF_TOKEN to a token with the right to write"


class PublishError(ContrastiveError):
    """The Hub cannot be reached, or does not let us; the message says what to do."""


@dataclass(frozen=True)
class Published:
    """What a publication did, or, as a rehearsal, would do.

    Attributes:
        repo_id: owner and name.
        files: what was sent from the folder, as `ModelFiles`.
        removed: files there that belong to weights and that the folder does not have, see `ModelFiles.must_fit`.
        url: of the repository; `None` for a rehearsal.
        commit: its newest commit, the same as before where nothing had changed; `None` for a rehearsal.
    """

    repo_id: str
    files: ModelFiles
    removed: tuple[str, ...] = ()
    url: str | None = None
    commit: str | None = None


def publish(
    folder: Path,
    repo_id: str,
    *,
    private: bool = False,
    revision: str | None = None,
    dry_run: bool = False,
    token: str | None = None,
) -> Published:
    """Put a model folder on the Hub; may be repeated, and killed, at any time.

    All files arrive in one commit: until it is made, readers see what was there before. Large files that an
    interrupted publication had sent are not sent again. What is there and would no longer fit the weights is removed;
    all else that others added stays.

    Args:
        folder: what a run leaves in `final/`, or `SentenceEncoder.save_pretrained`.
        repo_id: `owner/name`, or `name` under the account that is logged in.
        private: make the repository private; refused where it is public already.
        revision: branch, made where it is not there; default: `main`.
        dry_run: check the folder, and ask the Hub nothing.
        token: default: of `hf auth login`, or of the environment variable HF_TOKEN.

    Raises:
        CheckpointError: the folder cannot be published, see `model_files`.
        PublishError: no token, a wrong one, no right to write, no network, or an answer of the Hub that stops us.
    """
    files = model_files(folder)
    if "README.md" not in files.published:
        logger.warning(
            "%s has no README.md: the model's page will say nothing; `hf-contrastive card` writes it", folder
        )
    check_name(repo_id)
    if dry_run:
        return Published(repo_id, files)
    api = hub_api(token)
    repo_id = open_repository(api, repo_id, private=private)
    branch = revision or "main"
    with spoken_errors(repo_id, api.token):
        if branch != "main":
            api.create_branch(repo_id, branch=branch, exist_ok=True)
        info = api.model_info(repo_id, revision=branch)
        there = {sibling.rfilename for sibling in info.siblings or []}
        removed = tuple(sorted(name for name in there if files.must_fit(name) and name not in files.published))
        operations: list[Any] = [CommitOperationDelete(name) for name in removed]
        operations += [CommitOperationAdd(name, files.content(name, repo_id)) for name in files.published]
        commit = api.create_commit(
            repo_id,
            operations,
            commit_message="Upload model with hf_contrastive",
            revision=branch,
            parent_commit=info.sha,
        )
    return Published(repo_id, files, removed, f"{api.endpoint}/{repo_id}", commit.oid)


def hub_api(token: str | None = None) -> HfApi:
    """The Hub's client with a token.

    Raises:
        PublishError: there is none.
    """
    token = token or get_token()
    if not token:
        raise PublishError(f"no token for the Hub: {_LOG_IN}")
    return HfApi(token=token, library_name="hf_contrastive", library_version=__version__)


def check_name(repo_id: str) -> None:
    """Raise `PublishError` unless `repo_id` can be a repository."""
    if not is_hub_name(repo_id):
        raise PublishError(f"{repo_id!r} is no name on the Hub; write owner/name, of letters, digits, - _ and .")


def open_repository(api: HfApi, repo_id: str, private: bool = False) -> str:
    """Make the repository where it is not there, and check what can be checked of the right to write to it.

    Returns:
        Its name with its owner.

    Raises:
        PublishError: see `publish`.
    """
    check_name(repo_id)
    with spoken_errors(repo_id, api.token):
        account = api.whoami()
        role = (account.get("auth") or {}).get("accessToken", {}).get("role")
        if role == "read":
            raise PublishError(f"{repo_id}: the token of {account['name']} may only read; {_LOG_IN}")
        owner = repo_id.split("/")[0] if "/" in repo_id else account["name"]
        repo_id = f"{owner}/{repo_id.rpartition('/')[2]}"
        known = {account["name"], *(one["name"] for one in account.get("orgs") or [])}
        if owner not in known:
            raise PublishError(
                f"{repo_id}: {account['name']} has no right to write there; publish under {', '.join(sorted(known))}"
            )
        repo_id = api.create_repo(repo_id, private=private or None, exist_ok=True).repo_id
        if private and not api.model_info(repo_id).private:
            raise PublishError(
                f"{repo_id}: the repository is there and public; make it private in its settings, or leave out "
                "--private"
            )
    return repo_id


@contextmanager
def spoken_errors(repo_id: str, token: Any) -> Iterator[None]:
    """What the Hub's client raises, as a `PublishError` that says what to do and never holds the token."""
    try:
        yield
    except ContrastiveError:
        raise
    except Exception as raised:  # the client, hf_xet and the parsers they use raise what they like
        # An upload that fails is a RuntimeError around what went wrong.
        error = raised.__cause__ if type(raised) is RuntimeError and raised.__cause__ is not None else raised
        if isinstance(error, hub.HfHubHTTPError):
            status = error.response.status_code if error.response is not None else None
            raise PublishError(_spoken(repo_id, status, str(error), str(token))) from None
        detail = " ".join(_without(str(token), f"{type(error).__name__}: {error}").split())
        if isinstance(error, hub.OfflineModeIsEnabled):
            raise PublishError(f"{repo_id}: the Hub cannot be reached ({detail}); unset HF_HUB_OFFLINE") from None
        if isinstance(error, (_HTTP_ERROR, OSError)):
            raise PublishError(
                f"{repo_id}: the Hub cannot be reached ({detail}); look after the network, and give the same command "
                "again"
            ) from None
        if isinstance(error, ValueError) and not isinstance(error, json.JSONDecodeError):
            raise PublishError(f"{repo_id}: refused ({detail}); mend what it names, and publish again") from None
        raise PublishError(
            f"{repo_id}: publishing failed ({detail}); give the same command again, it goes on where it was"
        ) from None


def _spoken(repo_id: str, status: int | None, message: str, token: str) -> str:
    if status == 401:
        return f"{repo_id}: the Hub does not know the token; {_LOG_IN}"
    if status == 403:
        return f"{repo_id}: the token has no right to write there; {_LOG_IN}, or choose another owner"
    if status == 404:
        return f"{repo_id}: not there, or not to be seen with this token; check the name and the token"
    if status == 412:
        return f"{repo_id}: somebody else changed it meanwhile; give the same command again"
    lines = [line.strip() for line in _without(token, message).splitlines() if line.strip()]
    return f"{repo_id}: the Hub answered {' '.join(lines[:2])}; give the same command again, it goes on where it was"


def _without(token: str, message: str) -> str:
    return TOKEN.sub("***", message.replace(token, "***") if token else message)
