import threading

import pytest

from touchline.watch.aside import Aside, TakesLong


def nothing():
    pass


def test_what_the_call_returns_and_raises_is_returned_and_raised():
    answers = iter([1, 2])
    aside = Aside(lambda: next(answers), nothing, "aside")
    assert [aside.ask(20), aside.ask(20)] == [1, 2]
    with pytest.raises(StopIteration):
        aside.ask(20)
    aside.close(20)


def test_a_call_that_takes_long_is_let_go_of_and_waited_for_when_asked_again():
    go_on, calls = threading.Event(), []

    def call():
        calls.append(threading.current_thread())
        go_on.wait(30)
        return "back"

    aside = Aside(call, nothing, "aside")
    for _ in range(2):
        with pytest.raises(TakesLong, match="no answer for"):
            aside.ask(0.01)
    go_on.set()
    assert aside.ask(20) == "back"
    assert threading.current_thread() not in calls
    aside.close(20)


def test_after_the_last_call_the_same_thread_finishes():
    threads = []

    def note():
        threads.append(threading.get_ident())

    aside = Aside(note, note, "aside")
    aside.ask(20)
    aside.close(20)
    assert len(threads) == 2
    assert len(set(threads)) == 1


def test_a_call_that_hangs_is_left_behind_and_finishes_when_it_is_back():
    go_on, finished = threading.Event(), threading.Event()
    aside = Aside(lambda: go_on.wait(30), finished.set, "aside")
    with pytest.raises(TakesLong):
        aside.ask(0.01)
    aside.close(0.01)
    assert not finished.is_set()
    go_on.set()
    assert finished.wait(20)
