"""The three ways in which something can go wrong, and who hears of it. No other module invents a fourth.

* `ToolError`: the model asked for nonsense. It reads the message as an observation and may recover.
* `Fault`: our side failed (a broken file, a dead server). The trajectory is marked, counted, never scored.
* `UsageError`: the user's file, flag or config is wrong. One line on stderr and a non-zero exit; no
  traceback.

Anything else is a bug in this project and crashes loudly.
"""


class ToolError(Exception):
    """A mistake of the model in a tool call; the text is what the model will read."""


class Fault(Exception):
    """An infrastructure failure; the text names what failed, where, and what to do."""


class VideoError(Fault):
    """A video or one of its streams can not be read."""


class NoSound(VideoError):
    """A video has pictures alone."""


class EngineFault(Fault):
    """The engine that writes the tokens did not answer."""


class EngineRefusal(EngineFault):
    """It answered that it will not write this: it is in reach, and asking again is no use."""


class UsageError(Exception):
    """Bad input from the user: what is wrong, where it is, what to do."""


def first_line(problem: BaseException, longest: int | None = None) -> str:
    """The first line in which an error says anything, for a message of one line; its kind if it says nothing.

    >>> first_line(ValueError("\\n  too long \\nsee the manual")), first_line(KeyError())
    ('too long', 'KeyError')
    """
    lines = [line.strip() for line in str(problem).splitlines() if line.strip()]
    return (lines[0] if lines else type(problem).__name__)[:longest]
