from django.apps import AppConfig


class AnnotatorConfig(AppConfig):
    name = "annotator"

    def ready(self) -> None:
        from annotator.language import recall_at_sign_in

        recall_at_sign_in()
