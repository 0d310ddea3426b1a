"""Messages about alerts: to a real web server and a real mail server on this machine, each once, in their cooldown."""

from __future__ import annotations

import hashlib
import hmac
import json
import socketserver
import threading
from collections.abc import Iterator
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import ip_network
from typing import Any

import pytest
from django.utils import timezone

from alfred.models import AlertChannel, AlertDelivery, AuditEntry, Camera, Recording, Segment, User
from alfred.services import alert_channels, deliver_alerts, webhook
from alfred.services.webhook import SIGNATURE, Undeliverable
from tests import crowd, world

State = AlertDelivery.State


class Receiver(ThreadingHTTPServer):
    """Answers with `status`; keeps what it was posted."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.status, self.posts = 200, list[tuple[dict[str, Any], bytes, str]]()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/in?a=1"


class _Handler(BaseHTTPRequestHandler):
    server: Receiver

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.posts.append((json.loads(body), body, self.headers[SIGNATURE]))
        self.send_response(self.server.status)
        self.send_header("Location", self.server.url)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def receiver(settings: Any) -> Iterator[Receiver]:
    settings.WEBHOOK_NETWORKS = (ip_network("127.0.0.0/8"),)
    with Receiver() as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def view(db: None) -> Camera:
    return crowd.camera()


@pytest.fixture
def admin(db: None) -> User:
    return User.objects.create_superuser("root")


def hook(receiver: Receiver, admin: User, *cameras: Camera, **more: Any) -> AlertChannel:
    what = {"name": "Hook", "kind": "webhook", "url": receiver.url, "cooldown_s": 300}
    return alert_channels.add(by=admin, cameras=cameras, **what | more)


def flagged(view: Camera, people: int = 1, **how: Any) -> Recording:
    piece = view.slices.first() or crowd.piece(view, 0)
    recording = crowd.seen(view, piece, [2.0] * people, **how)[0].recording
    alert_channels.tell(view, recording)
    return recording


def states() -> list[str]:
    return list(AlertDelivery.objects.order_by("pk").values_list("state", flat=True))


def later(seconds: float) -> None:
    """As if so many seconds had passed."""
    for row in AlertDelivery.objects.all():
        for name in ("sent_at", "not_before"):
            if getattr(row, name):
                setattr(row, name, getattr(row, name) - timedelta(seconds=seconds))
        row.save()


def test_a_signed_message_says_how_much_and_where_but_no_score(
    receiver: Receiver, admin: User, view: Camera, settings: Any
) -> None:
    settings.PUBLIC_URL = "https://cameras.example"
    channel = hook(receiver, admin, view)
    recording = flagged(view, 3)
    assert deliver_alerts.deliver() == 1 and states() == [State.SENT]
    ((said, body, signature),) = receiver.posts
    expected = hmac.new(channel.secret.encode(), body, hashlib.sha256).hexdigest()
    assert signature == f"sha256={expected}" and len(channel.secret) == 64
    row = AlertDelivery.objects.get()
    assert said == {
        "event": "alerts", "schema_version": 1, "delivery_id": row.pk, "camera": {"slug": "gate", "name": "Gate"},
        "first_at": recording.start_at.isoformat(), "stretches": 3, "people": 3, "recordings": 1,
        "link": "https://cameras.example/alerts/?camera=gate",
    }  # fmt: skip
    assert deliver_alerts.deliver() == 0 and len(receiver.posts) == 1


def test_nothing_is_put_down_for_other_cameras_quiet_recordings_or_old_footage(
    receiver: Receiver, admin: User, view: Camera
) -> None:
    hook(receiver, admin, view)
    flagged(crowd.camera("Yard"))
    quiet = crowd.seen(view, crowd.piece(view, 1), [0.2])[0].recording
    alert_channels.tell(view, quiet)
    flagged(view, at=timezone.now() - timedelta(hours=25), clock_known=True)
    assert states() == []
    flagged(view, at=timezone.now() - timedelta(hours=23), clock_known=True)
    assert states() == [State.WAITING]


def test_what_comes_within_the_cooldown_is_told_together_when_it_is_over(
    receiver: Receiver, admin: User, view: Camera
) -> None:
    hook(receiver, admin, view)
    flagged(view)
    deliver_alerts.deliver()
    for people in (2, 3):
        flagged(view, people)
        assert deliver_alerts.deliver() == 0
    assert states() == [State.SENT, State.WAITING, State.WAITING]
    gone_to = list(AlertDelivery.objects.order_by("pk").values_list("sent_to", flat=True))
    assert gone_to == [AlertChannel.objects.get().url, "", ""]
    later(301)
    assert deliver_alerts.deliver() == 1
    assert states() == [State.SENT, State.FOLDED, State.SENT]
    assert (receiver.posts[-1][0]["stretches"], receiver.posts[-1][0]["recordings"]) == (5, 2)


def test_the_cooldown_is_a_cameras_own_and_counts_from_what_was_sent(
    receiver: Receiver, admin: User, view: Camera
) -> None:
    yard = crowd.camera("Yard")
    hook(receiver, admin, view, yard)
    receiver.status = 503
    flagged(view)
    assert deliver_alerts.deliver() == 0 and states() == [State.WAITING]
    receiver.status = 200
    flagged(yard)
    assert deliver_alerts.deliver() == 1  # not held up by Gate's
    later(31)
    assert deliver_alerts.deliver() == 1  # the failed try began no cooldown
    assert states() == [State.SENT, State.SENT]


def test_a_server_that_fails_is_tried_again_and_given_up_in_the_end(
    receiver: Receiver, admin: User, view: Camera
) -> None:
    hook(receiver, admin, view)
    receiver.status = 500
    flagged(view)
    for tries in range(1, 7):
        assert deliver_alerts.deliver() == 0
        assert deliver_alerts.deliver() == 0  # not before its time
        row = AlertDelivery.objects.get()
        assert (row.attempts, row.error) == (tries, "127.0.0.1 answered 500.")
        later(7201)
    assert states() == [State.FAILED] and len(receiver.posts) == 6


def test_what_comes_while_another_is_tried_again_goes_with_it(receiver: Receiver, admin: User, view: Camera) -> None:
    hook(receiver, admin, view)
    receiver.status = 500
    flagged(view)
    deliver_alerts.deliver()
    flagged(view)
    assert deliver_alerts.deliver() == 0 and len(receiver.posts) == 1
    receiver.status = 200
    later(31)
    assert deliver_alerts.deliver() == 1 and states() == [State.FOLDED, State.SENT]


def test_a_refusal_for_good_is_not_tried_again_and_no_redirect_is_followed(
    receiver: Receiver, admin: User, view: Camera
) -> None:
    hook(receiver, admin, view, cooldown_s=0)
    for status, state in ((404, State.FAILED), (302, State.WAITING)):
        receiver.status = status
        flagged(view)
        deliver_alerts.deliver()
        assert AlertDelivery.objects.latest("pk").state == state
    assert len(receiver.posts) == 2


def test_a_trial_heeds_no_cooldown(receiver: Receiver, admin: User, view: Camera) -> None:
    channel = hook(receiver, admin, view)
    flagged(view)
    deliver_alerts.deliver()
    alert_channels.try_out(channel, by=admin)
    assert deliver_alerts.deliver() == 1 and receiver.posts[-1][0]["event"] == "trial"
    assert AuditEntry.objects.filter(action="try alert channel").count() == 1


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1:9/", "http://localhost:9/", "http://[::1]:9/", "http://10.1.2.3/", "http://192.168.0.1/",
        "http://169.254.169.254/latest/meta-data/", "http://2130706433:9/", "http://0x7f.1:9/", "http://0.0.0.0:9/",
        "http://[::ffff:127.0.0.1]:9/", "http://224.0.0.1/", "http://100.64.0.1/",
    ],
)  # fmt: skip
def test_no_door_into_the_own_network(url: str) -> None:
    with pytest.raises(Undeliverable, match=r"private network|has no address") as refused:
        webhook.post(url, b"{}", "secret", timeout_s=0.2)
    assert refused.value.lasting or "no address" in str(refused.value)


@pytest.mark.parametrize(
    "url",
    ["", "ftp://example.org/", "file:///etc/passwd", "https://", "example.org", "https://a:b@example.org/",
     "https://example.org:99999/", "https://example.org/a b", "https://example.org/\r\nX: y"],
)  # fmt: skip
def test_what_is_no_address_is_refused_in_words(url: str) -> None:
    with pytest.raises(ValueError, match=r"(?i)address|password"):
        webhook.target(url)


def test_a_private_address_in_digits_is_refused_when_it_is_written(settings: Any) -> None:
    for url in ("https://10.1.2.3/hook", "http://[::ffff:192.168.0.9]:8080/"):
        with pytest.raises(ValueError, match=r"lies in a private network .*ALFRED_WEBHOOK_NETWORKS"):
            webhook.target(url)
    settings.WEBHOOK_NETWORKS = [ip_network("10.0.0.0/8")]
    assert webhook.target("https://10.1.2.3/hook").host == "10.1.2.3"


class Mailbox(socketserver.ThreadingTCPServer):
    """As much of SMTP as a client needs."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Smtp)
        self.mails: list[str] = []


class _Smtp(socketserver.StreamRequestHandler):
    server: Mailbox

    def handle(self) -> None:
        self.wfile.write(b"220 test\r\n")
        while line := self.rfile.readline().decode().strip():
            if line.upper() == "DATA":
                self.wfile.write(b"354 go on\r\n")
                lines = iter(lambda: self.rfile.readline().decode(), ".\r\n")
                self.server.mails.append("".join(lines))
            self.wfile.write(b"221 bye\r\n" if line.upper() == "QUIT" else b"250 ok\r\n")
            if line.upper() == "QUIT":
                return


@pytest.fixture
def mailbox(settings: Any) -> Iterator[Mailbox]:
    with Mailbox() as server:
        settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
        settings.EMAIL_HOST, settings.EMAIL_PORT = server.server_address
        settings.EMAIL_USE_TLS = False
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def by_mail(admin: User, view: Camera) -> AlertChannel:
    what = {"name": "Mail", "kind": "email", "addresses": ["guard@example.org"], "cooldown_s": 0}
    return alert_channels.add(by=admin, cameras=[view], **what)


def test_mail_arrives(mailbox: Mailbox, admin: User, view: Camera) -> None:
    by_mail(admin, view)
    flagged(view, 2)
    assert deliver_alerts.deliver() == 1
    (mail,) = mailbox.mails
    assert "To: guard@example.org" in mail and "Subject: ALFred: alert on Gate" in mail
    assert "2 flagged stretches with 2 people on Gate" in mail


def test_without_a_mail_server_the_log_says_what_to_do(admin: User, view: Camera, settings: Any) -> None:
    settings.EMAIL_HOST = ""
    by_mail(admin, view)
    flagged(view)
    assert deliver_alerts.deliver() == 0
    row = AlertDelivery.objects.get()
    assert (row.state, row.error) == (State.FAILED, "No mail server is set (ALFRED_EMAIL_HOST).")


@pytest.mark.django_db(transaction=True)
def test_scoring_a_recording_puts_its_message_down(receiver: Receiver) -> None:
    view = world.camera()
    hook(receiver, User.objects.create_superuser("root"), view)
    world.scored(view, minutes=0.5, anomaly_share=0.5)
    assert Segment.objects.filter(score__flagged=True).exists()
    assert deliver_alerts.deliver() == 1 and len(receiver.posts) == 1
