"""One verb a file, one transaction. The web imports verbs one by one and never those that need torch."""
