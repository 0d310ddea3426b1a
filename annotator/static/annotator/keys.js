// Which key does what. Keys come by name from the person's own list; arrows, Backspace, digits and ? are fixed.
import { gettext } from "./words.js";

const NAMES = { " ": "Space", ",": "Comma", ".": "Period", "[": "BracketLeft", "]": "BracketRight", "-": "Minus", "=": "Equal", "/": "Slash", ";": "Semicolon" };
const FIXED = { ArrowLeft: "second-back", ArrowRight: "second-forth", Backspace: "undo", "?": "help" };
const SHOWN = { Space: gettext("space"), Comma: ",", Period: ".", BracketLeft: "[", BracketRight: "]", Minus: "-", Equal: "=", Slash: "/", Semicolon: ";" };

export const isLetter = (e) => e.key.length === 1 && e.key !== " " && !e.ctrlKey && !e.metaKey && !e.altKey;

export function typing(e) {
  const t = e.target;
  if (t.matches?.("select[data-passes-letters]")) return e.isComposing || !isLetter(e);
  return e.isComposing || t.isContentEditable || /^(TEXTAREA|SELECT)$/.test(t.tagName) || (t.tagName === "INPUT" && !["range", "radio"].includes(t.type));
}

// Those of whoever looks at this page.
export function ownKeys() {
  const { map, single } = JSON.parse(document.getElementById("keys").textContent);
  return new Keys(map, single);
}

export class Keys {
  constructor(map, single) {
    this.single = single;
    this.map = map;
    this.actions = Object.fromEntries(Object.entries(map).map(([action, key]) => [key, action]));
  }

  // The action of a key press, "kind-3" for a digit; null where it is not for us.
  action(e) {
    if (typing(e)) return null;
    if ((e.ctrlKey || e.metaKey) && e.key.toLowerCase() === "z") return "undo";
    if (e.ctrlKey || e.metaKey || e.altKey || e.repeat) return null;
    if (FIXED[e.key]) return FIXED[e.key];
    const name = NAMES[e.key] ?? (e.key.length === 1 ? e.key.toLowerCase() : e.key);
    const isCharacter = e.key.length === 1 && e.key !== " ";
    if (isCharacter && !this.single) return null;
    if (/^[1-9]$/.test(name)) return `kind-${name}`;
    return this.actions[name] ?? null;
  }

  // Write the person's own keys on the buttons.
  label(root) {
    root.querySelectorAll("[data-key]").forEach((mark) => {
      const key = this.map[mark.dataset.key];
      if (!key) return;
      mark.textContent = SHOWN[key] ?? (key.length === 1 ? key.toUpperCase() : key);
      const shortcut = key === "Space" ? "Space" : SHOWN[key] ?? key;
      mark.closest("button, a")?.setAttribute("aria-keyshortcuts", shortcut);
    });
  }
}
