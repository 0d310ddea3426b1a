"""Video → tracked poses. One file an extractor; `registry` names them; `base` is what each must offer."""
