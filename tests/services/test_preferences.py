"""Keys: closed lists, one action a key, defaults where something unknown was stored."""

from __future__ import annotations

import pytest

from alfred.models import Preferences
from alfred.services import preferences
from tests import world

pytestmark = pytest.mark.django_db


def test_what_is_shipped_has_a_word_and_a_key_for_each_action() -> None:
    assert preferences.DEFAULTS.keys() == preferences.WORDS.keys()
    assert len(set(preferences.DEFAULTS.values())) == len(preferences.DEFAULTS)
    assert set(preferences.DEFAULTS.values()) <= preferences.KEYS.keys()


def test_a_moved_key_is_kept_and_the_others_stay() -> None:
    user = world.person("ana")
    preferences.keep(user, {"normal": "j"}, single=False)
    assert preferences.keyboard(user).map == preferences.DEFAULTS | {"normal": "j"}
    assert preferences.keyboard(user).single is False


@pytest.mark.parametrize("keys", [{"normal": "<script>"}, {"delete": "n"}, {"normal": ""}, {"normal": "1"}])
def test_nothing_but_known_actions_and_keys_is_stored(keys: dict[str, str]) -> None:
    user = world.person("ana")
    with pytest.raises(ValueError, match="no such action or key"):
        preferences.keep(user, keys, single=True)
    assert not Preferences.objects.exists()


def test_two_actions_never_share_a_key() -> None:
    with pytest.raises(preferences.KeyTaken, match="A is the key of two actions: normal, and anomaly"):
        preferences.keep(world.person("ana"), {"normal": "a"}, single=True)


def test_what_is_no_longer_known_falls_back() -> None:
    user = world.person("ana")
    Preferences.objects.create(user=user, keys={"normal": "Hyper", "gone": "n"})
    assert preferences.keyboard(user).map == preferences.DEFAULTS
