"""Storage by user and folder: what KubeSpawner calls it, and never anybody else's."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jupyter_kube import places, rules
from jupyter_kube.checks import is_inside_path, is_object_name
from jupyter_kube.errors import InvalidInput
from jupyter_kube.models import Profile

HUB = {
    "pvcs": {"claim-{user}": "/home/jovyan", "shared": "/data/{user}:ro"},
    "working_dir": "/home/jovyan/{folder}",
}


def hub(user="ann", folder="work/deep"):
    return Profile.parse("hub", HUB).placed(user=user, folder=folder)


def test_a_users_claim_and_folder():
    placed = hub()
    assert placed.pvcs == {"claim-ann": "/home/jovyan", "shared": "/data/ann:ro"}
    assert placed.working_dir == "/home/jovyan/work/deep"
    assert hub(folder="").working_dir == "/home/jovyan"
    assert hub(folder=".").working_dir == "/home/jovyan"


def test_what_needs_nobody_stays_as_it_is():
    profile = Profile.parse("plain", {"pvcs": {"home": "/home"}})
    assert profile.placed(user="ann", folder="../..") is profile


@pytest.mark.parametrize(
    ("user", "slug"),
    [  # as kubespawner 7's safe_slug gives them
        ("ann", "ann"),
        ("ann-b", "ann-b"),
        ("ann--b", "ann-b---d7cef8e8"),
        ("Ann", "ann---17239b6e"),
        ("ann@example.org", "ann-example-org---438c4c7a"),
        ("1ann", "x-1ann---3ed5bbfe"),
        ("", "x---e3b0c442"),
        ("-", "x---3973e022"),
    ],
)
def test_a_users_name_is_written_as_kubespawner_does(user, slug):
    assert places.user_slug(user) == slug


@given(st.text(max_size=80), st.text(max_size=80))
def test_two_users_never_share_a_claim(one, other):
    first, second = places.user_slug(one), places.user_slug(other)
    assert (first == second) == (one == other)
    assert is_object_name(f"claim-{first}")


@given(st.text(max_size=40), st.text(max_size=60))
def test_no_user_and_no_folder_leads_elsewhere(user, folder):
    try:
        placed = hub(user, folder)
    except InvalidInput:
        return
    assert (placed.working_dir + "/").startswith("/home/jovyan/")
    assert is_inside_path(placed.working_dir)
    assert set(placed.pvcs) == {f"claim-{places.user_slug(user)}", "shared"}
    assert all(is_inside_path(place.removesuffix(":ro")) for place in placed.pvcs.values())
    assert placed.pvcs["shared"].endswith(":ro")


@pytest.mark.parametrize("folder", ["..", "a/../../b", "/etc", "a:ro", "a\nb", "a\0b"])
def test_a_folder_that_leads_elsewhere_is_refused_in_words(folder):
    with pytest.raises(InvalidInput, match=r"the notebook's folder .* cannot be a path"):
        hub(folder=folder)


def test_a_folder_cannot_become_a_place_of_kubernetes():
    profile = Profile.parse("p", {"pvcs": {"c": "/{folder}"}})
    with pytest.raises(InvalidInput, match="token"):
        profile.placed(user="ann", folder="var/run/secrets/kubernetes.io/serviceaccount")
    with pytest.raises(InvalidInput, match="absolute path"):
        profile.placed(user="ann", folder="")


def test_two_claims_cannot_meet():
    profile = Profile.parse("p", {"pvcs": {"c": "/data/{user}", "d": "/data/ann"}})
    assert profile.placed(user="bob").pvcs["c"] == "/data/bob"
    with pytest.raises(InvalidInput, match="two volumes"):
        profile.placed(user="ann")


@pytest.mark.parametrize(
    "values",
    [
        {"pvcs": {"claim-{home}": "/x"}},
        {"pvcs": {"claim-{folder}": "/x"}},
        {"pvcs": {"claim-{user": "/x"}},
        {"pvcs": {"claim": "/x/{nobody}"}},
        {"working_dir": "{folder}"},
        {"working_dir": "/x/{0}"},
    ],
)
def test_what_cannot_be_filled_in_is_refused_at_once(values):
    with pytest.raises(InvalidInput):
        Profile.parse("p", values)


def test_every_example_is_right():
    assert rules.PVCS.check("pvcs", HUB["pvcs"]) == HUB["pvcs"]
