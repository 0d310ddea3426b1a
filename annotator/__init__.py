"""The web app: views, forms, urls, templates' helpers. Thin: it reads rows and calls one service a request."""
