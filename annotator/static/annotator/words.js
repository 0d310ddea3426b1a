// The words of scripts in the language of the page. The catalogue comes before them on pages that are not in English;
// where it is missing, or could not be loaded, they say what is written here.

export const gettext = (words) => globalThis.django?.gettext?.(words) ?? words;

export const ngettext = (one, many, n) => globalThis.django?.ngettext?.(one, many, n) ?? (n === 1 ? one : many);

// "%(name)s of %(all)s" with its parts put in.
export const filled = (words, parts) => words.replace(/%\((\w+)\)s/g, (whole, name) => String(parts[name] ?? whole));
