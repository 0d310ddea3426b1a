"""Forms: one a POST."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from zoneinfo import available_timezones

from django import forms

from alfred.core.methodologies import Methodology
from alfred.models import Answer, Camera
from alfred.services.launch_round import TRAINABLE

if TYPE_CHECKING:
    _CameraModelForm = forms.ModelForm[Camera]
else:  # generic for the type checker only
    _CameraModelForm = forms.ModelForm


class CameraForm(_CameraModelForm):
    """A new camera."""

    class Meta:
        model = Camera
        fields = ["name", "time_zone", "privacy", "slice_by"]

    def clean_time_zone(self) -> str:
        value: str = self.cleaned_data["time_zone"]
        if value not in available_timezones():
            raise forms.ValidationError("Not a time zone: use a name such as Europe/Berlin.")
        return value


class PoliciesForm(_CameraModelForm):
    """What an admin may set on a camera at any time."""

    methodology = forms.ChoiceField(choices=[(m.value, m.value.replace("_", " ")) for m in TRAINABLE])

    class Meta:
        model = Camera
        fields = ["methodology", "review_budget", "alert_share", "val_min"]

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
        label="Files",
        widget=_ManyFilesInput(attrs={"accept": "video/*,.avi,.mkv,.json,.npz"}),
        help_text="Video files, AlphaPose tracked-person JSON, or mocap-cctv .npz.",
    )
    slice_ordinal = forms.IntegerField(
        required=False, min_value=0, max_value=1_000_000, label="Slice number (empty: the open slice)"
    )
    as_validation = forms.BooleanField(required=False, label="Use as this camera's validation set (files with labels)")


class VerdictForm(forms.Form):
    answer = forms.ChoiceField(choices=[(a, a) for a in Answer.values if a != Answer.UNDO])
    key = forms.UUIDField()
    active_ms = forms.IntegerField(required=False, min_value=0)


class ReasonForm(forms.Form):
    reason = forms.CharField(required=False, max_length=200)


class RollBackForm(ReasonForm):
    deployment = forms.IntegerField()
