"""Courses: what `eva demo` teaches, a file for each kind of agent; commands/demo.py runs them.

They may use all that commands may. To add one, write a file with a `Course`, its configs in configs/demo/,
and add a line here.
"""

from eva_lightning.commands.courses.course import Course
from eva_lightning.commands.courses.grounder import GROUNDER
from eva_lightning.commands.courses.planner import PLANNER
from eva_lightning.commands.courses.questioner import QUESTIONER
from eva_lightning.commands.courses.searcher import SEARCHER

COURSES: dict[str, Course] = {
    "eva": PLANNER,
    "vital": GROUNDER,
    "agentcvr": QUESTIONER,
    "search": SEARCHER,
}
"""By the word for `--agent`."""

__all__ = ["COURSES", "Course"]
