"""The shape of a data set's rows: which column says what.

A few lines of a config; no code per data set. A column that holds an object is entered by a dot:
`reward_model.ground_truth`; braces stand for what another column says: `spans.{qid}`, `{video}_{qid}`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from eva_lightning.data.intake.wording import OptionStyle
from eva_lightning.records import AnswerKind


@dataclass(frozen=True, kw_only=True)
class RowShape:
    """Which column says what."""

    name: str | None = None
    """Source of all tasks, unless a column says it; None is the name of the file."""
    source: str | None = None
    """Column of the task's source; None takes `name`."""
    id: str | None = "id"
    """Column of the row's own id; None numbers the rows."""
    video: str = "video"
    """Column of the video's path, or of a list of paths."""
    video_path: str = "{}"
    """How that becomes a path below the folder of videos: "{}.mp4" where the column holds a bare id,
    "{set}/{}.mp4" where another column says the folder."""
    video_part: str | None = None
    """Regular expression of the part of the column that names the video (its group, if it has one); None is
    all of it."""
    question: str = "question"
    """Column of the question, as text or as a chat whose user asks it first."""
    ask: str = "{}"
    """How it is asked, with what the column says in the place of the braces: where it holds a mere event, or
    to say how to answer."""
    conversations: str | None = None
    """Column of a list of turns, asked and answered in turn (from/value or role/content): each pair is a
    task, and `question` and `answer` are not read. None: the row is one question."""
    options: str | list[str] | None = None
    """Column of the options (a list, an object by letter, or text that holds one), or a list of columns with
    an option each. None: they stand in the question, if there are any."""
    option_style: Literal["auto"] | OptionStyle = "auto"
    """How options are marked in the question where no column holds them; auto takes a question without such
    lines for an open one."""
    answer: str | None = "answer"
    """Column of the gold answer; None: it is not known."""
    answer_kind: Literal["auto"] | AnswerKind = "auto"
    """What the answer is. auto: a choice where there are options (several where it is a list), a number where
    the file holds one, else text."""
    answer_kind_by: str | None = None
    """Column that says of which kind a row's answer is, by `answer_kinds`; None: all are of `answer_kind`."""
    answer_kinds: dict[str, AnswerKind] = field(default_factory=dict)
    """The kind for each text of that column; rows that say anything else take `answer_kind`."""
    answer_part: str | None = None
    """Regular expression of the part of the column that is the answer (its group, if it has one); None is all
    of it."""
    grounds: str | None = None
    """Column of the seconds that are to be said with the answer, as `evidence` spells them; None: the answer
    alone is asked for."""
    grounds_part: str | None = None
    """Regular expression of the part of that column that says them; rows without such a part have none. None
    is all of it."""
    answer_index: int | Literal["A"] | None = None
    """The first option where the answer is always an option's number (0 or 1) or always its letter (A); None:
    it is a letter or words."""
    evidence: str | None = None
    """Column that says where the answer can be seen, in seconds of the file: [start, end], a list of them, or
    "MM:SS-MM:SS". None: it is not known."""
    begin: str | None = None
    """Column of the second at which the clip begins; None is the file's begin."""
    end: str | None = None
    """Column of the second at which the clip ends; None is the file's end."""
    duration: str | None = None
    """Column of the length of the video, in seconds or [HH:]MM:SS; None: it is not known."""
    category: str | None = None
    """Column that names the kind of the question; None: there is none."""
    keep: list[str] = field(default_factory=list)
    """More columns to be kept with the task."""
    keep_wording: bool = False
    """Ask in the words of the row, instructions included, instead of question and options alone."""
