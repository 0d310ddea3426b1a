"""Points in numbers in German too: the figures of one page, its charts and its CSV are written alike everywhere."""

DECIMAL_SEPARATOR = "."
THOUSAND_SEPARATOR = " "
