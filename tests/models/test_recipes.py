import json
from dataclasses import fields, replace

import pytest
import timm

from gencv.core.errors import BadInput, UnknownName
from gencv.images.augment import Augmentation
from gencv.models.networks import NETWORKS
from gencv.models.recipes import CHOICES, RANGES, RECIPES, Recipe


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_comes_back_through_json(name: str) -> None:
    recipe = RECIPES[name]
    again = Recipe.from_dict(json.loads(json.dumps(recipe.to_dict())))
    assert again == recipe and hash(again) == hash(recipe) and again.digest() == recipe.digest()
    assert replace(recipe) == recipe  # valid


@pytest.mark.parametrize("name", RECIPES)
def test_the_network_of_a_recipe_is_one_that_there_is(name: str) -> None:
    for scale in ("tiny", "small", "base"):
        network = RECIPES[name].network.replace("{scale}", scale)
        if network.startswith("timm/"):
            assert network.removeprefix("timm/") in timm.list_pretrained()
        else:
            assert network in NETWORKS or network.split("/")[0] in ("google", "facebook")


def facts(name: str, *wanted: str) -> list[object]:
    return [getattr(RECIPES[name], field) for field in wanted]


def test_the_spoof_recipe_is_the_sources() -> None:
    assert facts("celeba-spoof-vit", "network", "loss", "optimizer", "batch_size", "epochs", "learning_rate") == [
        "google/vit-base-patch16-224-in21k",
        "softmax",
        "adamw",
        64,
        5,
        5e-5,
    ]
    assert RECIPES["celeba-spoof-vit"].schedule == "constant" and not RECIPES["celeba-spoof-vit"].freeze


def test_the_cifake_recipe_is_the_sources_and_its_sibling_is_tuned() -> None:
    wanted = ("network", "batch_size", "epochs", "learning_rate")
    assert facts("cifake-vit", *wanted) == ["google/vit-base-patch16-224", 64, 100, 1e-7]
    assert facts("cifake-vit-tuned", *wanted) == ["google/vit-base-patch16-224", 64, 3, 5e-5]
    assert RECIPES["cifake-vit"].loss == RECIPES["cifake-vit-tuned"].loss == "softmax"
    assert RECIPES["cifake-vit"].schedule == "constant"
    hybrid = RECIPES["cifake-hybrid"].network
    assert "_r26_" in hybrid  # convolutions below, attention above


def test_the_small_recipe_goes_over_three_sizes() -> None:
    assert RECIPES["celeba-spoof-small"].network.replace("{scale}", "base").startswith("timm/vit_base_patch16_224")


def test_the_source_recipe_freezes_the_first_stages_and_tells_families() -> None:
    recipe = RECIPES["source-resnet50"]
    assert recipe.network.startswith("timm/resnet50") and recipe.kinds == "family" and recipe.weights == "pretrained"
    assert recipe.freeze == ("conv1", "bn1", "layer1", "layer2")


@pytest.mark.parametrize("name", ["faceauth-deit", "faceauth-vit", "faceauth-densenet"])
def test_the_faceauth_recipes_are_the_sources(name: str) -> None:
    recipe = RECIPES[name]
    assert (recipe.loss, recipe.optimizer, recipe.schedule) == ("sigmoid", "sgd", "plateau")
    assert recipe.momentum == 0.9 and recipe.warmup_fraction == 0 and recipe.kinds == "none"
    assert (recipe.learning_rate, recipe.batch_size, recipe.epochs) == (1e-3, 32, 20)
    network = {
        "faceauth-deit": "facebook/deit-base-distilled-patch16-384",
        "faceauth-vit": "google/vit-base-patch16-224",
        "faceauth-densenet": "timm/densenet121.tv_in1k",
    }
    assert recipe.network == network[name]


def test_the_tuned_faceauth_recipe_keeps_its_network_and_its_loss() -> None:
    tuned = RECIPES["faceauth-deit-tuned"]
    assert (tuned.network, tuned.loss) == (RECIPES["faceauth-deit"].network, "sigmoid")
    assert (tuned.optimizer, tuned.learning_rate, tuned.epochs, tuned.batch_size) == ("adamw", 5e-5, 5, 64)
    assert tuned.layer_decay == 0.75 and tuned.augmentation.flip


@pytest.mark.parametrize("name", RANGES)
def test_a_number_out_of_range_is_refused_with_what_is_accepted(name: str) -> None:
    low, high = RANGES[name]
    for value in (low - 1, high + 1, float("nan")):
        with pytest.raises(BadInput, match=rf"{name} is .*; a number from .* to .* is accepted\.$"):
            Recipe.from_dict({name: value})
    kind = type(getattr(Recipe(), name))
    for value in (low, high):
        assert getattr(Recipe.from_dict({name: kind(value)}), name) == value


@pytest.mark.parametrize("name", CHOICES)
def test_a_choice_that_does_not_exist_is_refused_with_those_that_do(name: str) -> None:
    with pytest.raises(UnknownName) as caught:
        Recipe.from_dict({name: "nothing"})
    assert all(known in str(caught.value) for known in CHOICES[name])
    for known in CHOICES[name]:
        Recipe.from_dict({name: known})


def test_every_number_has_its_range_and_every_name_its_choices() -> None:
    numbers = {field.name for field in fields(Recipe) if type(field.default) in (int, float)}
    names = {field.name for field in fields(Recipe) if type(field.default) is str}
    assert numbers == set(RANGES) and names - {"network", "scale"} == set(CHOICES)


def test_what_does_not_go_together_is_refused() -> None:
    with pytest.raises(BadInput, match="not with plateau"):
        Recipe(schedule="plateau", warmup_fraction=0.1)
    with pytest.raises(BadInput, match="kinds=none only"):
        Recipe(mixup=0.2, kinds="family")
    with pytest.raises(BadInput, match="Recipe settings with the keys"):
        Recipe.from_dict({"learning_speed": 1})


def test_the_default_changes_no_picture() -> None:
    assert Recipe().augmentation == Augmentation()
    given = {"augmentation": {"flip": True, "degradations": ["jpeg"], "probability": 0.2}, "freeze": ["a", "b"]}
    recipe = Recipe.from_dict(given)
    assert recipe.augmentation == Augmentation(flip=True, degradations=("jpeg",), probability=0.2)
    assert recipe.freeze == ("a", "b")
