"""Sections tell where the loop's wall time went: exclusive of what is nested, and with JAX's compiling apart."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from touchline.errors import UsageError
from touchline.watch.sections import SECTIONS, Sections


class Clock:
    """Seconds that pass when a test says so."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now

    def tick(self, seconds: float) -> None:
        self.now += seconds


@pytest.fixture
def clock() -> Clock:
    return Clock()


def in_another_thread(work: Callable[[], Any]) -> None:
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()


def in_a_fresh_process(script: str) -> Any:
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def without_compiling(shares: dict[str, float]) -> dict[str, float]:
    """Other tests of this process may have imported jax, and then compiling is timed too."""
    return {name: share for name, share in shares.items() if name != "compile"}


def test_a_section_is_told_as_its_share_of_all_the_time(clock: Clock) -> None:
    sections = Sections(clock)
    with sections("environment"):
        clock.tick(3.0)
    clock.tick(1.0)
    assert without_compiling(sections.shares()) == {"environment": pytest.approx(0.75)}


def test_an_inner_section_is_not_counted_twice(clock: Clock) -> None:
    sections = Sections(clock)
    with sections("update"):
        clock.tick(1.0)
        with sections("transfer"):
            clock.tick(2.0)
        clock.tick(1.0)
    assert without_compiling(sections.shares()) == {"update": pytest.approx(0.5), "transfer": pytest.approx(0.5)}


def test_a_section_may_be_open_within_itself(clock: Clock) -> None:
    sections = Sections(clock)
    with sections("environment"), sections("environment"):
        clock.tick(2.0)
    clock.tick(2.0)
    assert without_compiling(sections.shares()) == {"environment": pytest.approx(0.5)}


def test_shares_begin_anew_with_each_call_and_keep_the_names(clock: Clock) -> None:
    sections = Sections(clock)
    with sections("logging"):
        clock.tick(1.0)
    sections.shares()
    with sections("update"):
        clock.tick(1.0)
    assert without_compiling(sections.shares()) == {"logging": 0.0, "update": pytest.approx(1.0)}


def test_an_open_section_is_told_as_far_as_it_has_come(clock: Clock) -> None:
    sections = Sections(clock)
    with sections("evaluation"):
        clock.tick(1.0)
        assert sections.shares()["evaluation"] == pytest.approx(1.0)
        clock.tick(1.0)
    clock.tick(3.0)
    assert sections.shares()["evaluation"] == pytest.approx(0.25)


def test_a_section_ends_when_its_block_raises(clock: Clock) -> None:
    sections = Sections(clock)
    with pytest.raises(ZeroDivisionError), sections("checkpoint"):
        clock.tick(1.0)
        raise ZeroDivisionError
    clock.tick(1.0)
    assert sections.shares()["checkpoint"] == pytest.approx(0.5)


def test_two_calls_at_the_same_moment_tell_no_share(clock: Clock) -> None:
    sections = Sections(clock)
    with sections("update"):
        pass
    assert sections.shares()["update"] == 0.0


def test_a_misspelt_section_is_refused_with_the_nearest_name() -> None:
    with pytest.raises(UsageError, match="no section 'enviroment'. Did you mean 'environment'"):
        Sections()("enviroment")


def test_sections_of_a_worker_thread_take_no_time_from_the_loop(clock: Clock) -> None:
    sections = Sections(clock)

    def work() -> None:
        with sections("environment"):
            clock.tick(2.0)

    with sections("update"):
        in_another_thread(work)
        clock.tick(2.0)
    assert without_compiling(sections.shares()) == {"update": pytest.approx(1.0)}


def test_another_thread_may_ask_for_the_shares(clock: Clock) -> None:
    sections = Sections(clock)
    told: list[dict[str, float]] = []
    with sections("update"):
        clock.tick(1.0)
        in_another_thread(lambda: told.append(sections.shares()))
    assert told[0]["update"] == pytest.approx(1.0)


@given(
    st.recursive(
        st.floats(0.0, 10.0), lambda inner: st.tuples(st.sampled_from(SECTIONS[:-1]), st.lists(inner, max_size=4))
    )
)
def test_shares_add_up_to_the_timed_part_however_sections_nest(loop: Any) -> None:
    clock = Clock()
    sections = Sections(clock)
    expected: dict[str, float] = {}

    def walk(node: Any, current: str | None) -> None:
        if isinstance(node, float):
            clock.tick(node)
            if current:
                expected[current] = expected.get(current, 0.0) + node
            return
        name, children = node
        with sections(name):
            for child in children:
                walk(child, name)

    walk(loop, None)
    clock.tick(1.0)
    total = clock.now - 100.0
    shares = without_compiling(sections.shares())
    assert {name: share for name, share in shares.items() if share > 1e-9} == pytest.approx(
        {name: seconds / total for name, seconds in expected.items() if seconds / total > 1e-9}
    )


def test_without_jax_compilations_are_not_known_and_jax_stays_unloaded() -> None:
    told = in_a_fresh_process(
        "import json, sys\n"
        "from touchline.watch.sections import Sections\n"
        "sections = Sections()\n"
        "with sections('update'): pass\n"
        "print(json.dumps([sections.compilations(), list(sections.shares()), 'jax' in sys.modules]))\n"
    )
    assert told == [None, ["update"], False]


def test_what_jax_compiles_in_an_update_is_told_as_compiling() -> None:
    pytest.importorskip("jax")
    told = in_a_fresh_process(
        "import json\n"
        "from touchline.watch.sections import Sections\n"
        "sections = Sections()\n"
        "import jax\n"
        "update = jax.jit(lambda x: jax.lax.fori_loop(0, 3, lambda _, y: y @ y, x))\n"
        "x = jax.device_put(__import__('numpy').eye(8, dtype='float32'))\n"
        "def window():\n"
        "    with sections('update'): update(x).block_until_ready()\n"
        "    return [sections.compilations(), sections.shares()]\n"
        "print(json.dumps([window(), window()]))\n"
    )
    (first, first_shares), (second, second_shares) = told
    assert (first, second) == (1, 0)
    assert first_shares["compile"] > 0.0
    assert sum(first_shares.values()) <= 1.0 + 1e-9
    assert second_shares["compile"] == 0.0


class TestReportsOfJax:
    """As jax.monitoring makes them: after the fact, with a duration, in the thread that compiled."""

    @pytest.fixture
    def report(self) -> Callable[[str, float], None]:
        jax = pytest.importorskip("jax")
        return lambda step, seconds: jax.monitoring.record_event_duration_secs(
            f"/jax/core/compile/{step}_duration", seconds
        )

    def test_compiling_is_taken_out_of_the_section_around_it(
        self, clock: Clock, report: Callable[[str, float], None]
    ) -> None:
        sections = Sections(clock)
        with sections("update"):
            clock.tick(4.0)
            report("backend_compile", 3.0)
        assert sections.shares() == {"update": pytest.approx(0.25), "compile": pytest.approx(0.75)}

    def test_a_trace_within_a_trace_is_counted_once(self, clock: Clock, report: Callable[[str, float], None]) -> None:
        sections = Sections(clock)
        with sections("update"):
            clock.tick(2.0)
            report("jaxpr_trace", 1.0)
            clock.tick(1.0)
            report("jaxpr_trace", 3.0)
            clock.tick(1.0)
            report("backend_compile", 1.0)
        assert sections.shares() == {"update": pytest.approx(0.0), "compile": pytest.approx(1.0)}
        assert sections.compilations() == 1

    def test_a_compile_section_of_ones_own_is_not_counted_twice(
        self, clock: Clock, report: Callable[[str, float], None]
    ) -> None:
        sections = Sections(clock)
        with sections("compile"):
            clock.tick(2.0)
            report("backend_compile", 2.0)
        clock.tick(2.0)
        assert sections.shares() == {"compile": pytest.approx(0.5)}

    def test_time_that_an_earlier_window_told_is_not_taken_from_this_one(
        self, clock: Clock, report: Callable[[str, float], None]
    ) -> None:
        sections = Sections(clock)
        with sections("update"):
            clock.tick(9.0)
            sections.shares()
            clock.tick(1.0)
            report("backend_compile", 10.0)
        assert sections.shares() == {"update": pytest.approx(0.0), "compile": pytest.approx(1.0)}

    def test_another_thread_that_compiles_is_counted_and_takes_no_time(
        self, clock: Clock, report: Callable[[str, float], None]
    ) -> None:
        sections = Sections(clock)
        with sections("update"):
            clock.tick(2.0)
            in_another_thread(lambda: report("backend_compile", 2.0))
        assert sections.compilations() == 1
        assert sections.shares() == {"update": pytest.approx(1.0), "compile": 0.0}
