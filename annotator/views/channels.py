"""Where alerts are sent: webhooks and e-mail, and what became of each message."""

from __future__ import annotations

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST

from alfred.models import AlertChannel
from alfred.services import alert_channels
from annotator.access import admin_only, person
from annotator.forms import ChannelForm


@admin_only
def index(request: HttpRequest) -> HttpResponse:
    """All channels, a form for one more, and the newest messages."""
    form = ChannelForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        made = alert_channels.add(by=person(request), **form.cleaned_data)
        messages.success(request, _("Added. Try it out before you rely on it."))
        if made.secret:
            messages.warning(
                request,
                _("Messages are signed with this secret, which is shown once: %(secret)s") % {"secret": made.secret},
            )
        return redirect("channels")
    rows = AlertChannel.objects.prefetch_related("watched__camera")
    shown = {"channels": rows, "form": form, "log": alert_channels.log()}
    return render(request, "annotator/channels.html", shown, status=422 if form.errors else 200)


@admin_only
def page(request: HttpRequest, pk: int) -> HttpResponse:
    """One channel: change it or switch it off."""
    channel = get_object_or_404(AlertChannel, pk=pk)
    initial = {
        "name": channel.name,
        "url": channel.url,
        "addresses": ", ".join(channel.addresses),
        "cameras": [row.camera_id for row in channel.watched.all()],
        "cooldown_s": channel.cooldown_s,
        "in_use": channel.in_use,
    }
    form = ChannelForm(request.POST or None, channel=channel, initial=initial)
    if request.method == "POST" and form.is_valid():
        alert_channels.change(channel, by=person(request), **form.cleaned_data)
        messages.success(request, _("Saved."))
        return redirect("channels")
    return render(
        request, "annotator/channel.html", {"channel": channel, "form": form}, status=422 if form.errors else 200
    )


@admin_only
@require_POST
def try_out(request: HttpRequest, pk: int) -> HttpResponse:
    """Send a message that says it is a trial."""
    alert_channels.try_out(get_object_or_404(AlertChannel, pk=pk), by=person(request))
    messages.success(request, _("A trial message is on its way; the list below says what becomes of it."))
    return redirect("channels")
