"""Forms: one a POST."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, cast
from uuid import UUID
from zoneinfo import available_timezones

from django import forms
from django.core.validators import validate_email
from django.utils.translation import gettext_lazy as _

from alfred.core.methodologies import Methodology
from alfred.detectors import registry
from alfred.models import AlertChannel, AnomalyKind, Answer, Camera, FalseAlarm
from alfred.services import guide, preferences, webhook
from alfred.services.add_camera import POLICIES
from alfred.services.language import translated
from alfred.services.record_verdict import Details

if TYPE_CHECKING:
    _CameraModelForm = forms.ModelForm[Camera]
else:  # generic for the type checker only
    _CameraModelForm = forms.ModelForm


class CameraForm(_CameraModelForm):
    """A new camera."""

    detector = forms.ChoiceField(
        label=_("Detector"),
        choices=lambda: [(name, name) for name in registry.with_source_weights()],
        initial=Camera.DETECTOR,
        required=False,
        help_text=_("what scores its poses; docs/detectors.md says how each works and how well"),
    )

    class Meta:
        model = Camera
        fields = ["name", "time_zone", "privacy", "slice_by", "detector"]
        labels = {
            "name": _("Name"),
            "time_zone": _("Time zone"),
            "privacy": _("Privacy"),
            "slice_by": _("Slice by"),
        }

    def clean_detector(self) -> str:
        return self.cleaned_data["detector"] or Camera.DETECTOR

    def clean_time_zone(self) -> str:
        value: str = self.cleaned_data["time_zone"]
        if value not in available_timezones():
            raise forms.ValidationError(_("Not a time zone: use a name such as Europe/Berlin."))
        return value


class PoliciesForm(_CameraModelForm):
    """What an admin may set on a camera at any time; from then on, nothing is judged or counted anew."""

    methodology = forms.ChoiceField(
        label=_("Methodology"),
        choices=lambda: [(m.value, translated(m.value.replace("_", " "))) for m in Methodology],
        help_text=_("who is asked and what a round trains on"),
    )

    class Meta:
        model = Camera
        fields = list(POLICIES)
        labels = {
            "review_budget": _("Review budget"),
            "second_share": _("Second share"),
            "second_in_warm_up": _("Second in warm up"),
            "al_light_mode": _("AL-Light's upper end"),
            "slice_by": _("Slices"),
            "slice_segments": _("Segments a slice"),
            "review_deadline_h": _("Review deadline, hours"),
            "round_policy": _("Rounds"),
            "round_min_fp": _("False alarms a round"),
            "auto_promote": _("Promote by policy"),
            "queue_weight": _("Weight in the queue"),
            "alert_share": _("Alert budget"),
            "val_min": _("Validation set"),
            "known_share": _("Share of known items"),
            "one_voice_share": _("One person's share at most"),
            "trial_first": _("Known items first"),
        }
        help_texts = {
            "al_light_mode": _("what lies above it is not asked, but for a random part when the slice closes"),
            "slice_segments": _("where slices close by count"),
            "auto_promote": _("a candidate that passes every check goes in force by itself, never while drift stands"),
            "alert_share": _(
                "a share, such as 0.05: at most so many normal segments may be flagged while too few anomalies"
                " are known"
            ),
            "val_min": _("how many confirmed segments of each class make it complete"),
        }

    def clean_methodology(self) -> str:
        return Methodology(self.cleaned_data["methodology"]).value


class _ManyFilesInput(forms.ClearableFileInput):
    allow_multiple_selected = True


class ManyFilesField(forms.FileField):
    """One or more uploaded files."""

    def clean(self, data: Any, initial: Any = None) -> Any:
        files = data if isinstance(data, list | tuple) and data else [data or None]
        return [super(ManyFilesField, self).clean(file, initial) for file in files]


class UploadForm(forms.Form):
    uploads = ManyFilesField(
        label=_("Files"),
        widget=_ManyFilesInput(attrs={"accept": "video/*,.avi,.mkv,.json,.npz"}),
        help_text=_("Video files, AlphaPose tracked-person JSON, or mocap-cctv .npz."),
    )
    slice_ordinal = forms.IntegerField(
        required=False, min_value=0, max_value=1_000_000, label=_("Slice number (empty: the open slice)")
    )
    fps = forms.FloatField(
        required=False,
        min_value=1,
        max_value=1000,
        label=_("Frame rate, fps (optional)"),
        help_text=_("For pose files, which seldom say it. Empty: taken as 30 fps. A video knows its own."),
        widget=forms.NumberInput(attrs={"step": "any"}),
    )
    resolution = forms.CharField(
        required=False,
        max_length=13,
        label=_("Picture size, px (optional)"),
        help_text=_("For pose files: 1280x720. Empty: the smallest common size that holds all poses."),
        widget=forms.TextInput(attrs={"placeholder": "1280x720", "size": 12}),
    )
    as_validation = forms.BooleanField(
        required=False, label=_("Use as this camera's validation set (files with labels)")
    )

    def clean_resolution(self) -> tuple[int, int] | None:
        text = self.cleaned_data["resolution"].strip()
        found = re.fullmatch(r"([1-9][0-9]{0,5}) ?[x×*] ?([1-9][0-9]{0,5})", text.lower())
        if text and not found:
            raise forms.ValidationError(_("Write it as width x height, such as 1280x720."))
        return (int(found[1]), int(found[2])) if found else None


class VerdictForm(forms.Form):
    answer = forms.ChoiceField(choices=[(a, a) for a in Answer.values if a != Answer.UNDO])
    key = forms.UUIDField()
    active_ms = forms.IntegerField(required=False, min_value=0)
    kind = forms.CharField(required=False, max_length=40)
    reason = forms.ChoiceField(required=False, choices=[("", ""), *FalseAlarm.choices])
    comment = forms.CharField(required=False, max_length=500)
    from_pts = forms.FloatField(required=False)
    until_pts = forms.FloatField(required=False)
    people = forms.JSONField(required=False)
    guide = forms.IntegerField(required=False, min_value=0, max_value=2**62)

    def clean_kind(self) -> str:
        kind = str(self.cleaned_data["kind"])
        if kind and not AnomalyKind.objects.filter(name=kind).exists():
            raise forms.ValidationError(_("no such kind of anomaly"))
        return kind

    def clean_people(self) -> dict[str, Answer | None]:
        said = self.cleaned_data["people"] or {}
        known = {"normal": Answer.NORMAL, "anomaly": Answer.ANOMALY, "": None}
        if not isinstance(said, dict) or not all(isinstance(v, str) and v in known for v in said.values()):
            raise forms.ValidationError(_("letters, each with normal, anomaly or nothing"))
        return {str(letter): known[value] for letter, value in said.items()}

    def details(self) -> Details:
        names = ("people", "from_pts", "until_pts", "kind", "reason", "comment", "guide")
        return Details(**{name: self.cleaned_data[name] for name in names})


class GuideForm(forms.Form):
    text = forms.CharField(
        label=_("The guide"),
        max_length=5000,
        widget=forms.Textarea(attrs={"rows": 14, "cols": 60}),
        help_text=guide.HELP,
    )


class KindsForm(forms.Form):
    kinds = forms.CharField(
        label=_("One kind a line"), widget=forms.Textarea(attrs={"rows": 12, "cols": 30}),
        help_text=_("The first nine have the keys 1 to 9, in this order. Answers keep the words they were given with."),
    )  # fmt: skip

    def clean_kinds(self) -> list[str]:
        names = [line.strip() for line in self.cleaned_data["kinds"].splitlines() if line.strip()]
        if not names or len(names) > 30 or max(map(len, names)) > 40:
            raise forms.ValidationError(_("One to thirty kinds, each of at most forty letters."))
        return names


class ReleaseForm(forms.Form):
    """The events a page had when it was left, with commas between."""

    events = forms.CharField(max_length=400)

    def clean_events(self) -> list[UUID]:
        try:
            return [UUID(part) for part in self.cleaned_data["events"].split(",")]
        except ValueError:
            raise forms.ValidationError("ids of events") from None


class AlikeForm(forms.Form):
    """The token of the page, and an answer for each event that it showed: fields `answer-<id>`."""

    token = forms.CharField(max_length=6000)
    key = forms.UUIDField()

    def clean(self) -> dict[str, Any]:
        said = super().clean() or {}
        names = [name for name in self.data if name.startswith("answer-")]
        try:
            answers = {UUID(name.removeprefix("answer-")): Answer(self.data[name]) for name in names}
        except ValueError:
            raise forms.ValidationError("answers") from None
        if not answers or not set(answers.values()) <= {Answer.NORMAL, Answer.ANOMALY, Answer.UNSURE}:
            raise forms.ValidationError("answers")
        return said | {"answers": answers}


class TrialForm(forms.Form):
    answer = forms.ChoiceField(choices=[(a, a) for a in (Answer.NORMAL, Answer.ANOMALY, Answer.UNSURE)])


class RulingForm(forms.Form):
    answer = forms.ChoiceField(choices=[(a, a) for a in (Answer.NORMAL, Answer.ANOMALY)])
    key = forms.UUIDField()
    comment = forms.CharField(required=False, max_length=500)


class ChannelForm(forms.Form):
    """Where alerts of some cameras go. What an address may be is decided where messages are sent."""

    name = forms.CharField(label=_("Name"), max_length=60)
    kind = forms.ChoiceField(label=_("Kind"), choices=AlertChannel.Kind.choices)
    url = forms.CharField(
        label=_("Webhook address"), max_length=500, required=False, help_text=_("https://…, for a webhook")
    )
    addresses = forms.CharField(
        label=_("E-mail addresses"), max_length=1000, required=False, help_text=_("with commas between, for e-mail")
    )
    cameras = forms.ModelMultipleChoiceField(
        label=_("Cameras"), queryset=Camera.objects.none(), widget=forms.CheckboxSelectMultiple
    )
    cooldown_s = forms.IntegerField(
        label=_("Cooldown, seconds"), min_value=0, max_value=86_400, initial=300,
        help_text=_("after a message about a camera was sent, what follows within it is told in one next message"),
    )  # fmt: skip
    in_use = forms.BooleanField(label=_("In use"), required=False, initial=True)

    def __init__(self, *given: Any, channel: AlertChannel | None = None, **named: Any) -> None:
        super().__init__(*given, **named)
        self.channel = channel
        cast("forms.ModelMultipleChoiceField[Camera]", self.fields["cameras"]).queryset = Camera.objects.all()
        if channel:
            del self.fields["kind"]

    def clean_name(self) -> str:
        name = str(self.cleaned_data["name"])
        others = AlertChannel.objects.exclude(pk=self.channel.pk) if self.channel else AlertChannel.objects.all()
        if others.filter(name=name).exists():
            raise forms.ValidationError(_("There is a channel of that name."))
        return name

    def clean_addresses(self) -> list[str]:
        found = [part.strip() for part in self.cleaned_data["addresses"].split(",") if part.strip()]
        for address in found:
            validate_email(address)
        return found

    def clean(self) -> dict[str, Any]:
        said = super().clean() or {}
        kind = self.channel.kind if self.channel else said.get("kind")
        if kind == AlertChannel.Kind.WEBHOOK:
            try:
                webhook.target(said.get("url", ""))
            except ValueError as error:
                self.add_error("url", str(error))
        elif kind == AlertChannel.Kind.EMAIL and not said.get("addresses") and "addresses" not in self.errors:
            self.add_error("addresses", _("At least one address is needed."))
        return said


class CorrectionForm(forms.Form):
    answer = forms.ChoiceField(choices=[(a, a) for a in (Answer.NORMAL, Answer.ANOMALY, Answer.UNSURE)])
    comment = forms.CharField(required=False, max_length=500)


class RawReasonForm(forms.Form):
    reason = forms.CharField(min_length=5, max_length=200)


class KeysForm(forms.Form):
    """A key for each action, from the closed list."""

    single = forms.BooleanField(required=False, label=_("Single letters and digits answer"))

    def __init__(self, *given: Any, **named: Any) -> None:
        super().__init__(*given, **named)
        for action, words in preferences.WORDS.items():
            self.fields[action] = forms.ChoiceField(choices=list(preferences.KEYS.items()), label=words)


class ReasonForm(forms.Form):
    reason = forms.CharField(required=False, max_length=200)


class RollBackForm(ReasonForm):
    deployment = forms.IntegerField()
