"""Django's entry for the domain: models, services, commands."""

from django.apps import AppConfig


class AlfredConfig(AppConfig):
    name = "alfred"
    verbose_name = "ALFred"
