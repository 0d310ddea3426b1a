"""The URL map: one block a screen area."""

from django.contrib.auth.decorators import login_not_required
from django.contrib.auth.views import LoginView
from django.urls import path
from django.views.i18n import JavaScriptCatalog

from annotator.views import (
    account,
    adjudication,
    alerts,
    alike,
    cameras,
    channels,
    guides,
    home,
    progress,
    recordings,
    reports,
    review,
    rounds,
    trial,
)

CATALOGUE = JavaScriptCatalog.as_view(packages=["annotator"])
"""The words of the scripts in the reader's language."""

urlpatterns = [
    path("", home.home, name="home"),
    path("healthz", home.health, name="health"),
    path("login/", login_not_required(LoginView.as_view(redirect_authenticated_user=True)), name="login"),
    path("words/", home.words, name="words"),
    path("logout/", home.sign_out, name="logout"),
    # review
    path("review/", review.page, name="review"),
    path("review/next/", review.next_fragment, name="review-next"),
    path("review/more/", review.more, name="review-more"),
    path("review/undo/", review.undo, name="review-undo"),
    path("review/heartbeat/", review.heartbeat, name="review-heartbeat"),
    path("review/release/", review.release, name="review-release"),
    path("review/events/<uuid:pk>/verdict/", review.verdict, name="verdict"),
    path("review/events/<uuid:pk>/poses.json", review.poses, name="event-poses"),
    path("review/events/<uuid:pk>/clip.mp4", review.clip, name="event-clip"),
    path("review/events/<uuid:pk>/raw.mp4", review.raw_clip, name="event-raw"),
    path("review/events/<uuid:pk>/raw/", review.ask_raw, name="event-raw-ask"),
    path("review/events/<uuid:pk>/alike/", alike.page, name="alike"),
    path("review/events/<uuid:pk>/alike/confirm/", alike.confirm, name="alike-confirm"),
    path("review/together/<int:pk>/undo/", alike.undo, name="batch-undo"),
    path("trial/", trial.page, name="trial"),
    path("trial/<int:pk>/poses.json", trial.poses, name="trial-poses"),
    path("trial/<int:pk>/answer/", trial.answer, name="trial-answer"),
    path("keys/", account.keys, name="keys"),
    path("language/", account.speak, name="language"),
    path("catalogue.js", login_not_required(CATALOGUE), name="catalogue"),
    path("work/", account.work, name="my-work"),
    path("work/<uuid:pk>/correct/", account.correct_view, name="correct"),
    path("kinds/", account.kinds, name="kinds"),
    # alerts
    path("alerts/", alerts.page, name="alerts"),
    path("alerts/wall/", alerts.wall, name="alerts-wall"),
    path("alerts/stream/", progress.alerts, name="alerts-stream"),
    path("alerts/<int:pk>/poses.json", alerts.poses, name="alert-poses"),
    path("alerts/<int:pk>/acknowledge/", alerts.acknowledge, name="alert-acknowledge"),
    path("alerts/<int:pk>/judge/", alerts.judge, name="alert-judge"),
    path("alerts/channels/", channels.index, name="channels"),
    path("alerts/channels/<int:pk>/", channels.page, name="channel"),
    path("alerts/channels/<int:pk>/try/", channels.try_out, name="channel-try"),
    # adjudication
    path("adjudication/", adjudication.index, name="adjudication"),
    path("adjudication/<uuid:pk>/", adjudication.page, name="adjudication-event"),
    path("adjudication/<uuid:pk>/rule/", adjudication.rule, name="adjudication-rule"),
    # cameras
    path("cameras/", cameras.index, name="cameras"),
    path("cameras/add/", cameras.add, name="camera-add"),
    path("cameras/<slug:slug>/", cameras.detail, name="camera"),
    path("cameras/<slug:slug>/guide/", guides.page, name="guide"),
    path("cameras/<slug:slug>/guide/panel/", guides.panel, name="guide-panel"),
    path("cameras/<slug:slug>/guide/saw/", guides.saw, name="guide-saw"),
    path("cameras/<slug:slug>/status/", cameras.status, name="camera-status"),
    path("cameras/<slug:slug>/policies/", cameras.policies, name="camera-policies"),
    path("cameras/<slug:slug>/upload/", cameras.upload, name="camera-upload"),
    path("cameras/<slug:slug>/rounds/", rounds.launch_view, name="round-launch"),
    path("cameras/<slug:slug>/warm-up/reopen/", cameras.reopen_view, name="warm-up-reopen"),
    path("cameras/<slug:slug>/warm-up/call-off/", cameras.call_off_view, name="warm-up-call-off"),
    path("cameras/<slug:slug>/roll-back/", rounds.roll_back_view, name="roll-back"),
    path("cameras/<slug:slug>/progress/", progress.stream, name="camera-progress"),
    path("cameras/<slug:slug>/report/", reports.page, name="report"),
    path("cameras/<slug:slug>/report.csv", reports.csv_file, name="report-csv"),
    # recordings
    path("recordings/<int:pk>/", recordings.page, name="recording"),
    path("recordings/<int:pk>/poses.json", recordings.poses, name="recording-poses"),
    path("recordings/<int:pk>/video.mp4", recordings.video, name="recording-video"),
    path("recordings/<int:pk>/retry/", recordings.retry_view, name="recording-retry"),
    path("jobs/<int:pk>/retry/", recordings.retry_job_view, name="job-retry"),
    # rounds
    path("rounds/<int:pk>/", rounds.page, name="round"),
    path("rounds/<int:pk>/status/", rounds.status, name="round-status"),
    path("rounds/<int:pk>/cancel/", rounds.cancel_view, name="round-cancel"),
    path("rounds/<int:pk>/promote/", rounds.promote_view, name="round-promote"),
    path("rounds/<int:pk>/reject/", rounds.reject_view, name="round-reject"),
    path("rounds/<int:pk>/replay/", rounds.replay, name="round-replay"),
    path("rounds/<int:pk>/replay/launch/", rounds.replay_launch_view, name="round-replay-launch"),
    path("rounds/<int:pk>/manifest.parquet", rounds.manifest, name="round-manifest"),
    path("rounds/<int:pk>/manifest.csv", rounds.manifest_csv, name="round-manifest-csv"),
]
