"""The hub: an export becomes a commit of a repository there. What it holds was decided before.

Which hub it is, HF_ENDPOINT says; who we are, HF_TOKEN or `hf auth login`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from huggingface_hub import HfApi, constants, get_token

from eva_lightning.engines.keys import Key
from eva_lightning.faults import UsageError, first_line


@dataclass(frozen=True, kw_only=True)
class Upload:
    """Where an export goes."""

    repo: str
    """OWNER/NAME."""
    public: bool = False
    """Whether all may see a repository that is made for it."""

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[\w.-]+/[\w.-]+", self.repo):
            raise UsageError(f"{self.repo!r} is no repository of a hub; want OWNER/NAME")


def refuse_no_upload(to: Upload) -> None:
    """UsageError where it could not be sent: asked before hours of work, without the network."""
    token = get_token()
    if token is None:
        raise UsageError(f"{to.repo}: the hub wants to know who you are: `hf auth login`, or set HF_TOKEN")
    key = Key(name="the hub's token", secret=token)
    if not key.may_go_to(urlsplit(constants.ENDPOINT)):
        raise UsageError(f"{constants.ENDPOINT}: {key.kept_back}")
    if constants.is_offline_mode():
        raise UsageError(f"{to.repo}: nothing can be pushed while HF_HUB_OFFLINE is set")


def upload(folder: Path, to: Upload, message: str) -> str:
    """One commit with all that is in the folder; its address. What else the repository holds stays there."""
    refuse_no_upload(to)
    api = HfApi()
    try:
        api.create_repo(to.repo, private=not to.public, exist_ok=True)
        done = api.upload_folder(repo_id=to.repo, folder_path=folder, commit_message=message)
    except Exception as problem:  # the client's own, or one of whichever HTTP library it is built on
        again = f"hf upload {to.repo} {folder} .{'' if to.public else ' --private'}"
        raise UsageError(
            f"{to.repo}: was not pushed to {api.endpoint} ({first_line(problem, 200)}); the export is in "
            f"{folder}: `{again}` tries again"
        ) from problem
    return str(done.commit_url)
