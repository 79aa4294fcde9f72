"""Every recipe is a configuration that its machine can begin with."""

import pytest

from touchline.errors import UsageError
from touchline.learning.memory import Memory
from touchline.recipes import RECIPES, find_recipe


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_trains_for_as_long_as_it_evaluates_saves_and_learns(name):
    pretrain = find_recipe(name)().pretrain
    world, sac = pretrain.load_world(), pretrain.sac
    envs = pretrain.num_envs or 128
    assert sac.warmup_steps < pretrain.evaluation_every <= pretrain.total_steps or name == "smoke"
    assert sac.batch_size * 2 < sac.replay_size
    # The memory holds some episodes of every environment, so that what it draws is more than the last one.
    assert sac.replay_size // envs >= world.episode_steps
    Memory.of(sac, envs).init(1, 1)


@pytest.mark.parametrize("name", ["walker", "workstation", "l4", "h100"])
def test_recipes_of_a_walk_pay_alike(name):
    walk, other = RECIPES["walker"]().pretrain, RECIPES[name]().pretrain
    assert (other.weights, other.controller, other.episode_steps) == (
        walk.weights,
        walk.controller,
        walk.episode_steps,
    )
    # What a distributional critic can say depends on both.
    assert (other.sac.reward_scale, other.sac.gamma) == (walk.sac.reward_scale, walk.sac.gamma)


def test_a_mistyped_recipe_is_told_the_nearest():
    with pytest.raises(UsageError, match="walker"):
        find_recipe("walkr")
