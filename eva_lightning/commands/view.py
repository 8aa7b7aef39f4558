"""`eva view`: trajectories as one page to read in a browser: what was asked, watched, written and scored.

Reads what was made before; runs no model. `viewer/` makes the page.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import nullcontext, suppress
from dataclasses import replace
from itertools import islice
from pathlib import Path

from tqdm import tqdm

from eva_lightning.agent.worlds.video_world import VideoWorld
from eva_lightning.commands.arguments import run_command
from eva_lightning.faults import UsageError, first_line
from eva_lightning.files.atomic import appearing
from eva_lightning.files.store import stream
from eva_lightning.records import Clip, Trajectory
from eva_lightning.reports.viewer.detail import Spell, detail
from eva_lightning.reports.viewer.page import build_page
from eva_lightning.reports.viewer.rows import Pair, pair, row
from eva_lightning.reports.viewer.serve import PageServer
from eva_lightning.reports.viewer.thumbnails import Album, ThumbnailSettings
from eva_lightning.video.frame_store import FrameStore

DEFAULTS = ThumbnailSettings()


def main(words: Sequence[str]) -> None:
    run_command(view, words, "eva view", positional=True)


def view(
    results: str,
    other: str | None = None,
    videos: str | None = None,
    out: str | None = None,
    model: str | None = None,
    limit: int | None = None,
    serve: bool = False,
    port: int = 0,
    thumbnails: ThumbnailSettings = DEFAULTS,
) -> None:
    """Make a page of trajectories to read in a browser: a list to filter, and each one turn by turn.

    The page is one file that needs nothing beside it: it can be sent to somebody else.

    Args:
        results: JSONL file of trajectories.
        other: JSONL file of another run, shown beside it: attempts with the same task and number.
        videos: Folder in which relative clip paths, or else the names of the files, are looked for; None
            looks beside the files of trajectories and in the current folder.
        out: HTML file to write; None writes beside `results`, under its name.
        model: Folder of a checkpoint, or its name on the model hub: its tokenizer spells the tokens, so that
            log-probs stand on the words. Without it they are bars.
        limit: Take so many trajectories from the top of the file; None takes all.
        serve: Show the page at an address of this machine until Ctrl-C, and write a file only with --out.
        port: Port of that address; 0 takes a free one.
        thumbnails: How many frames are shown as pictures, and how large.
    """
    if limit is not None and limit < 1:
        raise UsageError(f"limit {limit}: want 1 or more")
    if videos is not None and not Path(videos).is_dir():
        raise UsageError(f"{videos}: is no folder; give the folder of the videos")
    files = [Path(results), *([Path(other)] if other is not None else [])]
    target = None if serve and out is None else _target(files, out)
    here, there = _read(files[0], limit), _read(files[1]) if other is not None else []
    folders = [*(file.parent for file in files), Path()]
    pairs, alone = pair([_located(one, folders, videos) for one in here], there)
    notes = [f"{alone} attempts are in {other} only: they are not shown."] if alone and not limit else []
    spell = _spelling(model) if model is not None else None
    with PageServer(port) if serve else nullcontext() as server:  # a wrong port is told before the work
        page = _page(_names(files), pairs, notes, thumbnails, spell).encode()
        if target is not None:
            _write(target, page)
            print(f"{len(pairs)} trajectories in {target} ({len(page) / 1e6:.1f} MB)")
        if server is not None:
            server.page = page
            print(f"{server.url}   (Ctrl-C ends it)", flush=True)
            with suppress(KeyboardInterrupt):
                server.serve_forever()


def _target(files: Sequence[Path], out: str | None) -> Path:
    target = files[0].with_suffix(".html") if out is None else Path(out)
    if target.resolve() in (file.resolve() for file in files):
        raise UsageError(f"{target}: the page would replace the trajectories; name another --out")
    if target.is_dir():
        raise UsageError(f"{target}: is a folder; give the path of a file to --out")
    return target


def _names(files: Sequence[Path]) -> list[str]:
    """What the runs are called: the names of the files, or all of their paths if these are the same."""
    names = [file.stem for file in files]
    return names if len({*names}) == len(names) else [str(file) for file in files]


def _read(file: Path, limit: int | None = None) -> list[Trajectory]:
    made = list(islice(stream(file, Trajectory), limit))
    if not made:
        raise UsageError(f"{file}: holds no trajectories; name a file that `eva collect` wrote")
    return made


def _located(one: Trajectory, folders: Sequence[Path], videos: str | None) -> Trajectory:
    """The trajectory with clip paths that work from here.

    A bare name is looked for in `videos` only: another folder may hold another video of that name.
    """

    def found(clip: Clip) -> Clip:
        path = Path(clip.path)
        tried = [folder / path for folder in folders]
        if videos is not None:
            tried = [Path(videos) / path, Path(videos) / path.name]
        files = (str(file) for file in tried if clip.path and os.path.isfile(file))
        return replace(clip, path=next(files, clip.path))

    return replace(one, task=replace(one.task, clips=tuple(map(found, one.task.clips))))


def _spelling(model: str) -> Spell:
    """Token ids to words by the tokenizer of a checkpoint; nothing else of it is read."""
    from transformers import AutoTokenizer

    try:
        tokenizer = AutoTokenizer.from_pretrained(model)
    except (OSError, ValueError) as problem:
        raise UsageError(f"there is no tokenizer at {model}: {first_line(problem)}") from None

    def spell(ids: Sequence[int]) -> list[str]:
        words: list[str] = []
        begun: list[int] = []
        for token in ids:  # a sign of several bytes may take several tokens: the last of them gets it
            begun.append(token)
            text = str(tokenizer.decode(begun))
            whole = not text.endswith("\N{REPLACEMENT CHARACTER}") or len(begun) == 4
            words.append(text if whole else "")
            begun = [] if whole else begun
        return words

    return spell


def _page(
    names: list[str],
    pairs: Sequence[Pair],
    notes: list[str],
    settings: ThumbnailSettings,
    spell: Spell | None,
) -> str:
    album = Album(VideoWorld(FrameStore(coarse="never")), settings)
    try:
        details = (detail(one, album, spell) for one in tqdm(pairs, desc="thumbnails", unit="trajectory"))
        return build_page(names, [row(one) for one in pairs], details, album, notes)
    finally:
        album.close()


def _write(target: Path, page: bytes) -> None:
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with appearing(target) as part:
            part.write_bytes(page)
    except OSError as problem:
        raise UsageError(f"{target}: {problem.strerror or problem}; name another --out") from None
