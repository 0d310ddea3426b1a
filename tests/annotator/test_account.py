"""Signing in and out, where one lands, health."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from tests import world

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def quick_passwords(settings: Any) -> None:
    """The real hashing takes half a second each time, by design."""
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]


def sign_in(client: Client, name: str, password: str = world.PASSWORD, **more: str) -> object:
    return client.post(reverse("login"), {"username": name, "password": password, **more})


@pytest.mark.parametrize(("name", "lands"), [("admin", "/cameras/"), ("sue", "/review/"), ("alice", "/review/")])
def test_signing_in_lands_at_ones_work(name: str, lands: str) -> None:
    world.people(password=world.PASSWORD)
    client = Client()
    response = client.post(reverse("login"), {"username": name, "password": world.PASSWORD}, follow=True)
    assert response.redirect_chain[-1] == (lands, 302)
    assert name in response.content.decode()


def test_a_wrong_password_and_an_unknown_name_look_alike() -> None:
    world.people(password=world.PASSWORD)
    answers = [
        Client().post(reverse("login"), {"username": name, "password": "wrong"}) for name in ("alice", "nobody", "a\0b")
    ]
    for response in answers:
        assert response.status_code == 200
        assert "This name and password do not match." in response.content.decode()
        assert "_auth_user_id" not in response.client.session


def test_an_account_without_a_password_cannot_sign_in() -> None:
    world.people()
    for password in ("", "!", "None"):
        response = Client().post(reverse("login"), {"username": "admin", "password": password})
        assert "_auth_user_id" not in response.client.session


def test_one_returns_to_the_page_asked_for_and_to_no_other_site() -> None:
    world.people(password=world.PASSWORD)
    client = Client()
    asked = client.get("/cameras/?a=1")
    assert asked["Location"] == "/login/?next=/cameras/%3Fa%3D1"
    data = {"username": "sue", "password": world.PASSWORD}
    assert client.post(reverse("login"), data | {"next": "/cameras/?a=1"})["Location"] == "/cameras/?a=1"
    for elsewhere in ("https://evil.example/", "//evil.example", "javascript:alert(1)", "\\\\evil.example"):
        assert Client().post(reverse("login"), data | {"next": elsewhere})["Location"] == "/"


def test_signing_in_changes_the_session_and_signing_out_ends_it() -> None:
    world.people(password=world.PASSWORD)
    client = Client()
    sign_in(client, "alice")
    cookie = client.cookies["sessionid"]
    assert cookie["httponly"] and cookie["samesite"] == "Lax"
    kept = cookie.value
    assert client.post(reverse("logout"))["Location"] == "/login/"
    thief = Client()
    thief.cookies["sessionid"] = kept
    assert thief.get(reverse("review")).status_code == 302
    assert Client().get(reverse("logout")).status_code == 302  # by link: nothing happens, one is asked to sign in


def test_health_says_ok_and_no_more() -> None:
    with CaptureQueriesContext(connection) as captured:
        response = Client().get(reverse("health"))
    assert (response.status_code, response.content) == (200, b"ok")
    assert response.headers["Content-Type"] == "text/plain"
    assert not response.cookies and len(captured) == 0
    assert "Server" not in response.headers
