"""A benchmark in a few lines of a config: where its rows and videos are, how options are written, what others
reached. There is no code per benchmark: whoever has rows of this form adds a config.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from eva_lightning.data.intake.wording import OptionStyle


@dataclass(frozen=True, kw_only=True)
class Published:
    """What somebody reported for this benchmark, to stand beside our own row."""

    accuracy: float
    """Percent."""
    rounds: float | None = None
    """Messages of the model, mean."""
    total_tokens: float | None = None
    """Tokens of the whole conversation, mean."""
    source: str = ""
    """Where it was reported."""


@dataclass(frozen=True, kw_only=True)
class Benchmark:
    """A file of questions in the normalised form of EVA's release: one JSON object a line with `videos`,
    `prompt` (chat messages), `reward_model.ground_truth` and `index`."""

    name: str
    """Name in tables and in the ids of tasks."""
    file: str
    """JSONL file of its rows."""
    videos: str
    """Folder of its videos. A row's path is taken as it is if such a file exists, else its longest tail that
    exists in this folder."""
    options: OptionStyle = "A. "
    """How options are written."""
    category: str | None = None
    """Key of the row that names the kind of the question; accuracy is told per kind."""
    evidence: str | None = None
    """Key of the row that says where the answer can be seen, as "MM:SS-MM:SS"."""
    published: dict[str, Published] = field(default_factory=dict)
    """Rows of others, by the name of their system."""
    published_settings: str = "12,000 visual tokens a call, temperature 0, 6 turns"
    """What must agree for the rows to be comparable."""
