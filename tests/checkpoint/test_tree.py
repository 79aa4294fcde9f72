"""A state goes through files and comes back as it was, or it is refused before anything has changed."""

from __future__ import annotations

import collections
import dataclasses
import json
import types
from typing import Any, NamedTuple

import ml_dtypes
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays, from_dtype

from touchline.checkpoint.origin import Origin
from touchline.checkpoint.snapshot import HostMemory
from touchline.checkpoint.tree import Mismatch, decode, decode_plain, encode
from touchline.errors import UsageError

from .trees import blank, same, through_files


class Moments(NamedTuple):
    mean: Any
    variance: Any


@dataclasses.dataclass(frozen=True)
class Loop:
    step: Any
    inner: Any = None


TYPES = [np.dtype(kind) for kind in ("?", "i1", "i8", "u2", "u8", "f2", "f4", "f8", "c8", "c16", ">f4", ">i8", ">c8")]
any_array = st.sampled_from(TYPES).flatmap(
    lambda kind: arrays(kind, array_shapes(min_dims=0, min_side=0, max_side=4), elements=from_dtype(kind))
) | arrays(np.uint16, array_shapes(min_dims=0, min_side=0, max_side=4)).map(
    lambda bits: bits.view(ml_dtypes.bfloat16)
)
any_view = (
    any_array
    | any_array.map(lambda array: array.T)
    | any_array.map(lambda array: array[::-2] if array.ndim else array)
)
awkward = st.sampled_from(
    ["a", "b", "a/b", "a/b#2", "", "/", "__metadata__", "state", "é", "\ud800", "randomness/python"]
)
keys = awkward | st.integers(-3, 10**30) | st.text(max_size=3)
leaf = st.none() | st.booleans() | st.integers() | st.integers(10**40, 10**41) | st.floats() | st.text() | any_view


def containers(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    few = st.lists(inner, max_size=3)
    return (
        few
        | few.map(tuple)
        | st.dictionaries(keys, inner, max_size=4)
        | st.builds(Moments, inner, inner)
        | st.builds(Loop, inner, inner)
        | st.dictionaries(st.text(max_size=2), inner, max_size=3).map(collections.OrderedDict)
    )


tree = st.recursive(leaf, containers, max_leaves=12)


@settings(max_examples=250, suppress_health_check=list(HealthCheck))
@given(saved=tree)
def test_a_tree_comes_back_bit_for_bit(saved: Any) -> None:
    restored = through_files(saved, blank(saved))
    assert same(restored, saved)


def test_arrays_whose_paths_collide_stay_apart() -> None:
    saved = {
        "a": {"b": np.array(1), "b#2": np.array(2)},
        "a/b": np.array(3),
        "a/b#2": np.array(4),
        1: np.array(5),
        "1": np.array(6),
    }
    assert same(through_files(saved, blank(saved)), saved)


def test_a_state_with_the_name_of_the_global_generators_is_not_theirs() -> None:
    words = np.zeros(625, np.uint32)
    snapshot = HostMemory().snapshot(0, {"randomness": {"python": {"words": words}}}, {}, Origin())
    assert not snapshot.arrays["randomness/python/words"].any()
    assert snapshot.arrays["randomness/python/words#2"].any()


def test_mappings_with_their_own_constructor_stay_what_they_are() -> None:
    saved = {
        "counter": collections.Counter("aab"),
        "default": collections.defaultdict(list, {"a": [np.arange(2)]}),
        "ordered": collections.OrderedDict(b=1, a=2),
    }
    like = {
        "counter": collections.Counter("ab"),
        "default": collections.defaultdict(list, {"a": [np.zeros(2, int)]}),
        "ordered": collections.OrderedDict(b=0, a=0),
    }
    restored = through_files(saved, like)
    assert same(restored, saved)
    assert restored["default"]["new"] == []


def test_what_was_empty_or_none_at_the_start_takes_what_was_saved() -> None:
    saved = {"best": None, "returns": [1.0, 2.0], "by name": {"a": np.ones(2)}, "policy": {"w": np.ones(3)}}
    like = {"best": 0.5, "returns": [], "by name": collections.OrderedDict(), "policy": None}
    restored = through_files(saved, like)
    assert restored["best"] is None
    assert restored["returns"] == [1.0, 2.0]
    assert type(restored["by name"]) is collections.OrderedDict
    np.testing.assert_array_equal(restored["policy"]["w"], np.ones(3))


def test_a_restored_array_may_be_written_to() -> None:
    restored = through_files({"w": np.arange(3.0)}, {"w": np.zeros(3)})
    restored["w"][0] = 7
    assert restored["w"][0] == 7


def test_a_scalar_of_numpy_may_become_a_plain_number() -> None:
    assert through_files({"step": np.int64(7)}, {"step": 0}) == {"step": 7}
    assert type(through_files(np.float32(0.5), np.float32(0))) is np.float32


@pytest.mark.parametrize(
    ("saved", "like", "told"),
    [
        ({"w": np.zeros(3)}, {"w": np.zeros(4)}, r"w was float64\[3\] and is float64\[4\]"),
        ({"w": np.zeros(3)}, {"w": np.zeros(3, np.float32)}, r"w was float64\[3\] and is float32\[3\]"),
        ({"w": np.zeros(3)}, {"w": "text"}, r"w was float64\[3\] and is str"),
        ({"w": np.zeros(3)}, {"v": np.zeros(3)}, "only the checkpoint has w and only this training has v"),
        (
            {"a": {"w": 1, "x": 2}},
            {"a": {"w": 1, "y": 1}},
            "under a only the checkpoint has x and only this training has y",
        ),
        ([1, 2], [1], "only the checkpoint has 1"),
        ([1], (1,), "the state was list and is tuple"),
        (Moments(1, 2), Loop(1, 2), "the state was named and is Loop"),
        ({"name": "a"}, {"name": 1}, "name was str and is int"),
        ({"name": 1}, {"name": np.zeros(2)}, "name was int and is ndarray"),
        ({"name": None}, {"name": np.zeros(2)}, "name was NoneType and is ndarray"),
        ({"rng": np.random.default_rng(0)}, {"rng": np.zeros(2)}, "rng was numpy.random.Generator and is ndarray"),
    ],
)
def test_another_shape_is_refused_with_what_differs(saved: Any, like: Any, told: str) -> None:
    with pytest.raises(Mismatch, match=told + ".*start over"):
        decode(encode(saved), like)


def test_of_many_differences_the_first_are_shown_and_the_rest_counted() -> None:
    saved = {f"layer{i}": np.zeros(i) for i in range(20)}
    like = {name: np.zeros(99) for name in saved}
    with pytest.raises(Mismatch, match=r"layer7 was float64\[7\] and is float64\[99\]; and 12 more\."):
        decode(encode(saved), like)


def test_a_mismatch_changes_nothing_in_place() -> None:
    mine, other = np.random.default_rng(1), np.random.default_rng(2)
    before = mine.bit_generator.state
    with pytest.raises(Mismatch, match="w was"):
        decode(encode({"rng": other, "w": np.zeros(3)}), {"rng": mine, "w": np.zeros(4)})
    assert mine.bit_generator.state == before


@pytest.mark.parametrize(
    ("state", "told"),
    [
        ({"a": {"b": object()}}, "a/b is a builtins.object, which a checkpoint cannot hold"),
        (np.array(["text"]), "The state cannot be saved: an array of type <U4 needs pickle"),
        ({"a": np.array([object()])}, "a cannot be saved: an array of type object needs pickle"),
        (np.zeros(2, [("a", "f4"), ("b", "i4")]), "needs pickle"),
        (np.ma.masked_array([1, 2], [True, False]), "masked array"),
        ({("a", "b"): 1}, r"has the key \('a', 'b'\). Keys are text or whole numbers"),
        ({True: 1}, "has the key True"),
        ({"a": {1, 2}}, "a is a builtins.set"),
        (lambda: 0, "The state is a builtins.function"),
        (types.SimpleNamespace(state_dict=dict), r"state_dict\(\) but no load_state_dict\(\)"),
    ],
)
def test_what_cannot_be_kept_is_refused_with_its_place(state: Any, told: str) -> None:
    with pytest.raises(UsageError, match=told):
        encode(state)


def test_a_tree_can_be_read_without_the_classes_it_came_from() -> None:
    saved = {"moments": Moments(np.ones(2), [Loop(1, (2, 3))]), "rng": np.random.default_rng(0)}
    plain = decode_plain(encode(saved))
    np.testing.assert_array_equal(plain["moments"]["mean"], np.ones(2))
    assert plain["moments"]["variance"] == [{"step": 1, "inner": (2, 3)}]
    assert plain["rng"]["bit_generator"] == "PCG64"


@given(saved=tree)
@settings(max_examples=50)
def test_a_description_is_json_of_any_standard_reader(saved: Any) -> None:
    description = encode(saved).description
    assert json.loads(json.dumps(description, allow_nan=False)) == description
