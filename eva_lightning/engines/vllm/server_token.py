"""The token of our vLLM servers: a secret without which they write nothing and take no weights.

It is EVA_SERVER_TOKEN where that is set. Else `eva serve` makes one, once, in a file that its user alone can
read; a trainer of the same user on the same machine finds it there. Who asks for it is `guard`.
"""

from __future__ import annotations

import os
import secrets
import stat
import tempfile
from contextlib import suppress
from pathlib import Path

from eva_lightning.engines.keys import Key, key_in
from eva_lightning.engines.vllm.guard import VARIABLE as VARIABLE
from eva_lightning.faults import UsageError


def token_file() -> Path:
    """Where the token of this user is kept."""
    base = os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config"
    return Path(base) / "eva_lightning" / "server_token"


def known_token() -> Key | None:
    """The token as set or kept; None if there is none."""
    return key_in(VARIABLE) or _kept(token_file())


def sure_token() -> Key:
    """The token as set or kept, made now if there is none."""
    known = known_token()
    if known is not None:
        return known
    file = token_file()
    try:
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=file.parent)  # for its owner alone
        with os.fdopen(handle, "w") as made:
            made.write(secrets.token_urlsafe(32) + "\n")
        with suppress(FileExistsError):  # another server was quicker: its token is ours
            os.link(name, file)
        os.unlink(name)
    except OSError as problem:
        raise UsageError(
            f"{file}: can not be written ({problem.strerror}); set {VARIABLE} for server and trainer"
        ) from None
    kept = _kept(file)
    assert kept is not None
    return kept


def _kept(file: Path) -> Key | None:
    try:
        handle = os.open(file, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    except OSError as problem:
        raise UsageError(
            f"{file}: can not be read ({problem.strerror}); remove it, or set {VARIABLE}"
        ) from None
    with os.fdopen(handle) as opened:
        state = os.fstat(handle)
        if state.st_uid != os.geteuid() or stat.S_IMODE(state.st_mode) & 0o077:
            raise UsageError(f"{file}: others can read it, so it is no secret; remove it, or set {VARIABLE}")
        secret = opened.read(4096).strip()
    return Key(name=str(file), secret=secret) if secret else None
