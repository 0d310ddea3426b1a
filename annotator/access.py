"""Who may open what. Every view starts with one of these; a foreign camera's things are not found."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Concatenate, ParamSpec, cast

from django.core.validators import slug_re
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import get_object_or_404
from django.utils.translation import gettext as _

from alfred.models import Camera, Event, Job, Plate, Recording, Role, Round, Segment, User
from alfred.models.people import cameras_of
from alfred.services import alerts

P = ParamSpec("P")


def person(request: HttpRequest) -> User:
    """The signed-in user (the login middleware has let nobody else through)."""
    return cast(User, request.user)


def camera_for(request: HttpRequest, slug: str, *roles: Role) -> Camera:
    """The camera, if this person holds one of `roles` on it (any role when none is named)."""
    return get_object_or_404(cameras_of(person(request), *roles), slug=slug)


def chosen_camera(request: HttpRequest) -> str:
    """Slug of the camera the person narrowed the page to, or "". It filters what is theirs; it opens nothing."""
    slug = request.GET.get("camera") or request.POST.get("camera") or ""
    if slug and not slug_re.fullmatch(slug):
        raise Http404
    return slug


def recording_for(request: HttpRequest, pk: int) -> Recording:
    """A recording of a camera this person supervises; annotators meet recordings only through events."""
    cameras = cameras_of(person(request), Role.SUPERVISOR)
    return get_object_or_404(Recording.objects.select_related("camera"), pk=pk, camera__in=cameras)


def round_for(request: HttpRequest, pk: int) -> Round:
    """A round of a camera this person supervises."""
    cameras = cameras_of(person(request), Role.SUPERVISOR)
    rows = Round.objects.select_related("camera", "slice", "base__version", "base__threshold", "version", "threshold")
    return get_object_or_404(rows, pk=pk, camera__in=cameras)


def job_for(request: HttpRequest, pk: int) -> Job:
    """A job of a camera this person supervises."""
    cameras = cameras_of(person(request), Role.SUPERVISOR)
    return get_object_or_404(Job.objects.select_related("camera"), pk=pk, camera__in=cameras)


def event_for(request: HttpRequest, pk: object) -> Event:
    """An event of one of this person's cameras."""
    rows = Event.objects.select_related("camera", "recording")
    return get_object_or_404(rows, pk=pk, camera__in=cameras_of(person(request)))


def plate_for(request: HttpRequest, pk: int) -> Plate:
    """A background plate of one of this person's cameras; one that is not approved is there for admins alone."""
    user = person(request)
    rows = Plate.objects.select_related("camera").filter(camera__in=cameras_of(user))
    return get_object_or_404(rows if user.is_admin else rows.filter(approved_at__isnull=False), pk=pk)


def alert_for(request: HttpRequest, pk: int) -> Segment:
    """An alert on one of this person's cameras."""
    try:
        return alerts.alert_for(person(request), pk)
    except Segment.DoesNotExist:
        raise Http404 from None


def same_person(
    view: Callable[Concatenate[HttpRequest, P], HttpResponseBase],
) -> Callable[Concatenate[HttpRequest, P], HttpResponseBase]:
    """For who opened the page: when another has signed in in the same browser since, what it sends is not theirs."""

    @wraps(view)
    def inner(request: HttpRequest, /, *args: P.args, **kwargs: P.kwargs) -> HttpResponseBase:
        meant = request.headers.get("X-Alfred-User") or request.POST.get("user")
        if meant and meant != str(person(request).pk):
            words = _("Another person has signed in in this browser. Sign in again yourself, or reload the page.")
            return HttpResponse(words, status=409, content_type="text/plain; charset=utf-8")
        return view(request, *args, **kwargs)

    return inner


def admin_only(
    view: Callable[Concatenate[HttpRequest, P], HttpResponseBase],
) -> Callable[Concatenate[HttpRequest, P], HttpResponseBase]:
    """For admins; to others the page does not exist."""

    @wraps(view)
    def inner(request: HttpRequest, /, *args: P.args, **kwargs: P.kwargs) -> HttpResponseBase:
        if not person(request).is_admin:
            raise Http404
        return view(request, *args, **kwargs)

    return inner
