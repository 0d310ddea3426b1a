"""One settings file. Everything that differs between machines comes from the environment (README: Settings)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from alfred import env
from alfred.embedded.instance import StateDir
from alfred.embedded.postgres import Postgres
from alfred.embedded.valkey import Valkey
from alfred.pose.extractors import registry as extractors

BASE = Path(__file__).resolve().parent.parent
TESTING = env.flag("ALFRED_TESTING")
DEMO = env.flag("ALFRED_DEMO")
DEBUG = env.flag("ALFRED_DEBUG")

STATE_DIR = env.folder("ALFRED_STATE_DIR", BASE / "var")
ARTIFACTS_DIR = STATE_DIR / "artifacts"
WEIGHTS_DIR = env.folder("ALFRED_WEIGHTS_DIR", STATE_DIR / "weights")
if not TESTING:
    StateDir(STATE_DIR).create()
SECRET_KEY = env.text("ALFRED_SECRET_KEY") or StateDir(STATE_DIR).secret("secret_key")
ALLOWED_HOSTS = [h for h in env.text("ALFRED_ALLOWED_HOSTS", "127.0.0.1,localhost").split(",") if h]
CSRF_TRUSTED_ORIGINS = [o for o in env.text("ALFRED_TRUSTED_ORIGINS").split(",") if o]

DATABASE_URL = env.text("DATABASE_URL") or Postgres(STATE_DIR / "postgres").dsn()
DATABASES: dict[str, dict[str, Any]] = {
    "default": {**env.database(DATABASE_URL), "CONN_MAX_AGE": 0, "CONN_HEALTH_CHECKS": True}
}
if not TESTING:
    DATABASES["default"]["OPTIONS"] |= {"pool": {"min_size": 1, "max_size": 8, "timeout": 10}}

INSTALLED_APPS = [
    "alfred",
    "annotator",
    "workers",
    "django_htmx",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
]
MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "annotator.security.ContentSecurityPolicy",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "annotator.language.Language",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "annotator.security.LoginRequiredByDefault",
    "django_htmx.middleware.HtmxMiddleware",
]
ROOT_URLCONF = "alfred.urls"
ASGI_APPLICATION = "alfred.asgi.application"
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
                "annotator.context.shell",
            ]
        },
    }
]
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
AUTH_USER_MODEL = "alfred.User"
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator", "OPTIONS": {"min_length": 10}},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
]
LOGIN_URL = "login"
LOGIN_REDIRECT_URL = "home"
LOGOUT_REDIRECT_URL = "login"

USE_TZ = True
TIME_ZONE = env.time_zone("ALFRED_TIME_ZONE", "UTC")
LANGUAGE_CODE = "en"
LANGUAGES = [("en", "English"), ("de", "Deutsch")]
USE_I18N = True
LOCALE_PATHS = [BASE / "annotator" / "locale"]
FORMAT_MODULE_PATH = "annotator.formats"

STATIC_URL = "/static/"
STATIC_ROOT = STATE_DIR / "static"
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {
        "BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"
        if TESTING
        else "whitenoise.storage.CompressedManifestStaticFilesStorage"
    },
}
FILE_UPLOAD_TEMP_DIR = None if TESTING else str(STATE_DIR / "run")
MAX_UPLOAD_MB = env.number("ALFRED_MAX_UPLOAD_MB", 4096, 1)
DATA_UPLOAD_MAX_MEMORY_SIZE = 2_500_000

SESSION_COOKIE_HTTPONLY = True
SESSION_COOKIE_SAMESITE = "Lax"
HTTPS = env.flag("ALFRED_HTTPS")
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = HTTPS
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https") if HTTPS else None
SECURE_HSTS_SECONDS = 31_536_000 if HTTPS else 0
SECURE_REFERRER_POLICY = "same-origin"
X_FRAME_OPTIONS = "DENY"

CELERY_BROKER_URL = env.broker(env.text("CELERY_BROKER_URL") or Valkey(STATE_DIR / "valkey").url)
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
# Redis and Valkey hand an unacknowledged message out again after this; tasks acknowledge early, so it never matters
# to a long task. The row in PostgreSQL is the truth and the sweep brings lost nudges back.
CELERY_BROKER_TRANSPORT_OPTIONS = (
    {"visibility_timeout": 3600, "socket_connect_timeout": 2}
    if CELERY_BROKER_URL.startswith(("redis", "rediss"))
    else {}
)
CELERY_TASK_ACKS_LATE = False
CELERY_BROKER_CONNECTION_TIMEOUT = 2
CELERY_WORKER_PREFETCH_MULTIPLIER = 1
CELERY_ACCEPT_CONTENT = ["json"]
CELERY_TASK_SERIALIZER = "json"
CELERY_TASK_IGNORE_RESULT = True
CELERY_TASK_DEFAULT_QUEUE = "io"
CELERY_BEAT_SCHEDULE = {
    "sweep": {"task": "workers.sweep", "schedule": 10.0, "options": {"expires": 10.0, "queue": "sweep"}}
}
CELERY_WORKER_HIJACK_ROOT_LOGGER = True

DEVICE = env.device("ALFRED_DEVICE")
THREADS = env.number("ALFRED_THREADS", 2, 1, 256)
POSE_EXTRACTOR = env.text("ALFRED_POSE_EXTRACTOR", "movenet", choices=tuple(extractors.names()))
POSE_WEIGHTS = env.text("ALFRED_POSE_WEIGHTS")
POSE_IMGSZ = env.number("ALFRED_POSE_IMGSZ", 0, 0, 4096)
POSE_BATCH = env.number("ALFRED_POSE_BATCH", 4, 1, 256)
POSE_DOWNLOAD = env.flag("ALFRED_POSE_DOWNLOAD")
STALE_AFTER_S = env.number("ALFRED_STALE_AFTER_S", 60, 2)
LEASE_S = env.number("ALFRED_LEASE_S", 90, 5)

PUBLIC_URL = env.text("ALFRED_PUBLIC_URL").rstrip("/")
WEBHOOK_NETWORKS = env.networks("ALFRED_WEBHOOK_NETWORKS")
EMAIL_HOST = env.text("ALFRED_EMAIL_HOST")
EMAIL_PORT = env.number("ALFRED_EMAIL_PORT", 587, 1, 65535)
EMAIL_HOST_USER = env.text("ALFRED_EMAIL_USER")
EMAIL_HOST_PASSWORD = env.text("ALFRED_EMAIL_PASSWORD")
EMAIL_USE_TLS = env.flag("ALFRED_EMAIL_TLS", True)
EMAIL_TIMEOUT = 10
DEFAULT_FROM_EMAIL = env.text("ALFRED_EMAIL_FROM", "alfred@localhost")

LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"plain": {"format": "{asctime} {levelname} {name}: {message}", "style": "{"}},
    "handlers": {"console": {"class": "logging.StreamHandler", "formatter": "plain"}},
    "root": {"handlers": ["console"], "level": "INFO"},
    "loggers": {"django.server": {"level": "WARNING"}, "django.request": {"level": "ERROR"}},
}
