import threading

import pytest

from eva_lightning.video.decoding_crew import DecodingCrew


def notes(count):
    """Chores that write down their number and the thread that did them."""
    done = {}
    return done, [lambda n=n: done.__setitem__(n, threading.current_thread().name) for n in range(count)]


@pytest.mark.parametrize("helpers", [0, 1, 3])
@pytest.mark.parametrize("count", [0, 1, 7])
def test_every_chore_is_done_once(helpers, count):
    done, chores = notes(count)
    crew = DecodingCrew(helpers)
    crew.run(chores)
    crew.close()
    assert sorted(done) == list(range(count))
    assert count == 0 or done[0] == "MainThread"


def test_a_helper_works_while_the_caller_does():
    meet = threading.Barrier(2)
    DecodingCrew(1).run([lambda: meet.wait(10), lambda: meet.wait(10)])  # broken if they came one by one


def test_the_caller_does_what_a_busy_crew_has_not_begun():
    crew = DecodingCrew(1)
    release = threading.Event()
    crew._threads.submit(release.wait, 30)  # the one helper is busy
    done, chores = notes(4)
    crew.run(chores)
    release.set()
    assert list(done.values()) == ["MainThread"] * 4


def test_a_closed_crew_still_finishes_what_is_asked():
    crew = DecodingCrew(2)
    crew.close()
    done, chores = notes(2)
    crew.run(chores)
    assert sorted(done) == [0, 1]


def test_an_interrupted_call_takes_back_what_nobody_began():
    crew = DecodingCrew(1)
    release = threading.Event()
    crew._threads.submit(release.wait, 30)
    done, chores = notes(2)

    def interrupted():
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        crew.run([interrupted, *chores])
    release.set()
    crew.close()
    assert done == {}


def test_all_threads_are_to_spare_until_a_call_is_on_its_way():
    crew = DecodingCrew(3)
    seen = [crew.spare]
    crew.run([lambda: seen.append(crew.spare)])
    with pytest.raises(ZeroDivisionError):
        crew.run([lambda: 1 / 0])
    assert [*seen, crew.spare] == [4, 1, 4]
