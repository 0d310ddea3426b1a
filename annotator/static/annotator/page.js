// What every page has: the token of its forms, a place for notices, a help card.

// The cookie's is today's: signing in again in another tab changes it for this one too.
export function token() {
  const cookie = document.cookie.match(/(?:^|; )csrftoken=([^;]+)/);
  if (cookie) return cookie[1];
  return JSON.parse(document.body.getAttribute("hx-headers"))["X-CSRFToken"];
}

export function say(text, kind = "error") {
  const p = document.createElement("p");
  p.className = `notice ${kind}`;
  p.textContent = text;
  document.getElementById("notices").replaceChildren(p);
}

export function html(text) {
  const template = document.createElement("template");
  template.innerHTML = text;
  return template.content;
}

export function toggleHelp() {
  const help = document.getElementById("help");
  if (help) help.hidden = !help.hidden;
}
