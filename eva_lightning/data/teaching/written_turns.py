"""Written turns: demonstrations that somebody else wrote are acted out here, turn by turn.

Their words come with the tasks; what they look at is seen by our tools in our world, at the times they name.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from eva_lightning.engines.base import Context
from eva_lightning.faults import UsageError
from eva_lightning.records import Task


def written_turns(tasks: Sequence[Task], column: str) -> Callable[[Context], str]:
    """Who writes the turns that each task keeps under `column`: a text, or a list with one for each turn.

    Whoever is asked for more than was written says nothing, which ends the trajectory without an answer.
    """
    written = {task.id: _turns(task, column) for task in tasks}

    def author(context: Context) -> str:
        turns = written[context.task_id]
        place = sum(message.role == "assistant" for message in context.messages)
        return turns[place] if place < len(turns) else ""

    return author


def _turns(task: Task, column: str) -> list[str]:
    held = task.extra.get(column)
    turns = [held] if isinstance(held, str) else held
    if not isinstance(turns, list) or not turns or not all(isinstance(one, str) for one in turns):
        raise UsageError(
            f"task {task.id!r}: {column} is {held!r:.60}; want the turns that were written for it, a text or "
            "a list of texts (eva prepare keeps a column by shape.keep)"
        )
    return turns
