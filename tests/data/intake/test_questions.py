"""Rows of any shape become tasks; what can not be asked is refused with its column."""

from datetime import date

import pytest

from eva_lightning.data.intake.bad_row import BadRow
from eva_lightning.data.intake.questions import tasks_of
from eva_lightning.data.intake.row_shape import RowShape
from eva_lightning.data.intake.video_folder import VideoFolder


@pytest.fixture
def asked(tmp_path):
    """The tasks of one row, whose video is v.mp4 or u.mp4."""
    for name in ("v.mp4", "u.mp4"):
        (tmp_path / name).touch()

    def asking(row, **shape):
        return list(
            tasks_of({"id": 7, "video": "v.mp4"} | row, RowShape(**shape), VideoFolder(tmp_path), "mine", 1)
        )

    return asking


@pytest.mark.parametrize(
    ("answer", "shape", "kind", "value"),
    [
        ("B", {}, "choice", "B"),
        ("(b)", {}, "choice", "B"),
        ("B. blue.", {}, "choice", "B"),
        ("B. the blue one", {}, "choice", "B"),
        ("Blue", {}, "choice", "B"),
        (1, {"answer_index": 0}, "choice", "B"),
        ("2", {"answer_index": 1}, "choice", "B"),
        (["A", "C"], {}, "multi", ("A", "C")),
        ("['red', 'green']", {}, "multi", ("A", "C")),
        ("A, C", {"answer_kind": "multi"}, "multi", ("A", "C")),
        ("CAB", {"answer_kind": "order"}, "order", ("C", "A", "B")),
    ],
)
def test_an_answer_names_options_by_letter_words_or_number(asked, answer, shape, kind, value):
    row = {"question": "Which?", "options": ["red", "blue", "green"], "answer": answer}
    (task,) = asked(row, options="options", **shape)
    assert (task.answer.kind, task.answer.value) == (kind, value)
    assert (task.id, task.source, task.options) == ("mine/7", "mine", ("red", "blue", "green"))


@pytest.mark.parametrize(
    ("answer", "kind", "value"),
    [
        ("a dog", "text", "a dog"),
        ("[laughs]", "text", "[laughs]"),
        (3, "number", 3.0),
        ([2, 5.5], "interval", (2.0, 5.5)),
        ("[2, 5.5]", "interval", (2.0, 5.5)),
        ("00:02-00:05", "interval", (2.0, 5.0)),
    ],
)
def test_an_open_answer_is_words_a_number_or_a_range(asked, answer, kind, value):
    shape = {"answer_kind": "interval"} if kind == "interval" else {}
    (task,) = asked({"question": "Who?", "answer": answer}, **shape)
    assert (task.answer.kind, task.answer.value, task.options) == (kind, value, ())


@pytest.mark.parametrize(
    "held",
    [
        ["red", "blue"],
        "['red', 'blue']",
        {"A": "red", "B": "blue"},
        "{1: 'red', 2: 'blue'}",
        ["A. red", "B. blue"],
        ["(A) red", "(B) blue"],
    ],
)
def test_options_are_a_list_an_object_or_text_that_holds_one(asked, held):
    (task,) = asked({"question": "Which?", "o": held, "answer": "B"}, options="o")
    assert task.text == "Which?\nA. red\nB. blue"


def test_options_in_columns_of_their_own_and_an_answer_that_counts_them(asked):
    row = {"question": "Which?", "a0": "red", "a1": "blue", "a2": "", "answer": "1"}
    (task,) = asked(row, options=["a0", "a1", "a2"], answer_index=0)
    assert task.options == ("red", "blue") and task.answer.value == "B"


@pytest.mark.parametrize(
    ("row", "options"),
    [
        ({"a": "red", "b": "", "c": "blue", "d": "green"}, ["a", "b", "c", "d"]),
        ({"a": "red", "b": None, "c": "blue", "d": "green"}, ["a", "b", "c", "d"]),
        ({"o": ["red", "", "blue", "green"]}, "o"),
        ({"o": {"A": "red", "B": None, "C": "blue", "D": "green"}}, "o"),
        ({"o": {"A": "red", "C": "blue", "D": "green", "E": "black"}}, "o"),
        ({"o": {"B": "red", "C": "blue"}}, "o"),
    ],
)
def test_an_option_that_is_missing_in_between_does_not_move_the_others_up(asked, row, options):
    # C was blue; with the gap closed it would be green.
    with pytest.raises(BadRow, match="gap"):
        asked({"question": "Which?", "answer": "C"} | row, options=options)


def test_a_cell_that_holds_nan_is_empty(asked):
    nan = float("nan")
    row = {"question": "Which?", "a": "red", "b": "blue", "c": nan, "answer": "B", "kind": nan, "clue": nan}
    (task,) = asked(row, options=["a", "b", "c"], category="kind", evidence="clue", begin="clue")
    assert task.options == ("red", "blue") and task.extra == {} and task.clips[0].begin is None
    with pytest.raises(BadRow, match="id is empty"):
        asked(row | {"id": nan}, options=["a", "b", "c"])


def test_time_counts_from_the_clip_s_begin(asked):
    row = {
        "question": "When?",
        "answer": [70, 80],
        "from": "01:00",
        "to": 90,
        "clue": [[65, 70], ["01:20", 85]],
    }
    shape = {"answer_kind": "interval", "begin": "from", "end": "to", "evidence": "clue"}
    (task,) = asked(row, **shape)
    assert (task.clips[0].begin, task.clips[0].end) == (60.0, 90.0)
    assert task.answer.value == (10.0, 20.0)
    assert list(map(str, task.evidence)) == ["5 to 10 s", "20 to 25 s"]


def test_several_videos_are_numbered_and_what_is_wanted_is_kept(asked):
    row = {
        "question": "Which?",
        "answer": "the second",
        "video": ["v.mp4", "far/away/u.mp4"],
        "len": "1:30",
        "k": "w",
        "x": [1],
    }
    (task,) = asked(row, duration="len", category="k", keep=["x", "none"])
    assert [clip.id for clip in task.clips] == ["video 1", "video 2"]
    assert task.clips[1].path.endswith("/u.mp4")
    assert task.extra == {"x": [1], "category": "w", "duration": 90.0}


def test_what_json_can_not_hold_is_kept_as_text(asked):
    row = {"question": "Who?", "answer": "a dog", "day": date(2024, 5, 1), "x": {"a": [1, float("nan")]}}
    (task,) = asked(row, keep=["day", "x"])
    assert task.extra == {"day": "2024-05-01", "x": {"a": [1, None]}}


def test_a_chat_gives_a_task_for_each_of_its_questions(asked):
    turns = [
        {
            "from": "human",
            "value": "<image>\nWhat colour?\nA. red\nB. blue\nPlease respond with only the letter.",
        },
        {"from": "gpt", "value": "A."},
        {"from": "human", "value": "Why?"},
        {"from": "gpt", "value": "It rained."},
    ]
    first, second = asked({"chat": turns}, conversations="chat")
    assert (first.id, first.question, first.options, first.answer.value) == (
        "mine/7/1",
        "What colour?",
        ("red", "blue"),
        "A",
    )
    assert (second.id, second.text, second.answer.kind) == ("mine/7/2", "Why?", "text")


def test_a_dot_enters_an_object_and_a_chat_asks_what_its_user_says_first(asked):
    chat = [{"role": "system", "content": "Watch."}, {"role": "user", "content": "Which?\nA. red\nB. blue"}]
    row = {"chat": chat, "gold": {"letter": "b", "kinds": "['colour', 'dress']"}, "opts": '{"seen": [2, 5]}'}
    where = {"question": "chat", "answer": "gold.letter", "category": "gold.kinds", "evidence": "opts.seen"}
    (task,) = asked(row, **where)
    assert (task.question, task.answer.value, *map(str, task.evidence)) == ("Which?", "B", "2 to 5 s")
    assert task.extra["category"] == "colour, dress"
    with pytest.raises(BadRow, match=r"gold\.words is empty"):
        asked(row, **where | {"answer": "gold.words"})
    with pytest.raises(BadRow, match=r"truth\.letter is none of its columns id, video, chat, gold, opts"):
        asked(row, **where | {"answer": "truth.letter"})


def test_the_words_of_the_row_can_be_kept(asked):
    row = {"question": "Which?\nA. red\nB. blue\nAnswer with the letter.", "answer": "B"}
    assert asked(row)[0].text == "Which?\nA. red\nB. blue"
    assert asked(row, keep_wording=True)[0].text == row["question"]


@pytest.mark.parametrize(
    ("row", "shape", "cause", "said"),
    [
        ({"question": "", "answer": "x"}, {}, "empty question", "question is empty"),
        ({"question": "<video>\n", "answer": "x"}, {}, "empty question", "question is empty"),
        (
            {"question": "A. red\nB. blue", "answer": "A"},
            {},
            "empty question",
            "question holds options and no",
        ),
        ({"question": "Who?"}, {}, "no answer", "answer is none of its columns id, video, question"),
        ({"question": "Who?", "answer": None}, {}, "no answer", "answer is empty"),
        ({"question": 3, "answer": "x"}, {}, "no question", "question: 3 is no text"),
        (
            {"question": "W?\nA. a\nB. b", "answer": "C"},
            {},
            "no such option",
            "answer 'C' is none of 2 options",
        ),
        ({"question": "W?\nA. a\nB. b", "answer": "A. b"}, {}, "no such option", "'A. b' is none of 2"),
        ({"question": "W? A. a B. b", "answer": "A."}, {}, "no options", "'A.' is a letter, but no options"),
        (
            {"question": "W?", "answer": "A"},
            {"option_style": "(A) "},
            "no options",
            "no lines that begin with",
        ),
        (
            {"question": "W?", "answer": 2, "o": ["a", "b"]},
            {"options": "o", "answer_index": 0},
            "no such option",
            "counts from 0",
        ),
        ({"question": "W?", "answer": "A", "o": ["a"]}, {"options": "o"}, "no options", "o: .* two or more"),
        (
            {"question": "W?", "answer": "many"},
            {"answer_kind": "number"},
            "no answer",
            "answer: could not convert",
        ),
        (
            {"question": "W?", "answer": [9, 2]},
            {"answer_kind": "interval"},
            "no answer",
            "is no value for an answer",
        ),
        ({"question": "W?", "answer": "x", "video": "w.mp4"}, {}, "missing video", "no file w.mp4 in"),
        ({"question": "W?", "answer": "x", "video": None}, {}, "no video", "video is empty"),
        (
            {"question": "W?", "answer": "x", "e": [[5, 2]]},
            {"evidence": "e"},
            "no evidence",
            "ends before it begins",
        ),
        (
            {"question": "W?", "answer": "x", "b": 9, "t": 2},
            {"begin": "b", "end": "t"},
            "no clip",
            "want 0 <= begin < end",
        ),
        ({"c": [{"from": "human", "value": "W?"}]}, {"conversations": "c"}, "no conversation", "no answer"),
        (
            {"c": [{"from": "gpt", "value": "W?"}]},
            {"conversations": "c"},
            "no conversation",
            "turn 1 is of 'gpt'",
        ),
    ],
)
def test_a_row_that_can_not_be_asked_is_refused_with_its_column(asked, row, shape, cause, said):
    with pytest.raises(BadRow, match=said) as refused:
        asked(row, **shape)
    assert refused.value.cause == cause


def test_a_text_that_can_be_no_path_is_a_video_that_is_missing(asked):
    with pytest.raises(BadRow, match="no file xxx"):
        asked({"question": "Which?", "answer": "one", "video": "x" * 5000})
