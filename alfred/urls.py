"""The URL map's root; every page is the web app's."""

from django.urls import include, path

urlpatterns = [path("", include("annotator.urls"))]
handler404 = "annotator.views.errors.not_found"
