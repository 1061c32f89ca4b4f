// Small parts that several views are made of.

export const VERDICT = { accepted: "✓ accepted", rejected: "✗ rejected" };
export const IGNORED = 255;

export const $ = (id) => document.getElementById(id);

// An element with properties and children, which are texts or elements.
export const element = (tag, properties = {}, ...children) => {
  const made = Object.assign(document.createElement(tag), properties);
  made.append(...children);
  return made;
};

// [value, name] of all that a pixel may be.
export const values = (classes) => [[0, "background"], ...classes.map((name, i) => [i + 1, name]), [IGNORED, "ignored (255)"]];
export const valueOptions = (classes) => values(classes).map(([value, name]) => new Option(name, value));

// What is too long to stand in the page whole can be scrolled, also by keys.
export const long = (element) => {
  const is = element.textContent.length > 300;
  element.classList.toggle("long", is);
  if (is) element.tabIndex = 0;
  else element.removeAttribute("tabindex");
};

// A box of a group with its name, and what is said after it: { label, box, more }. more: an element's tag.
export const choice = (type, group, value, text, { colour, more }) => {
  const box = element("input", { type, name: group, value }), last = element(more), swatch = element("i", { className: "swatch" });
  swatch.style.background = colour;
  const label = element("label", { className: "choice" }, box, ...(colour === undefined ? [] : [swatch]), element("bdi", { textContent: text }), last);
  return { label, box, more: last };
};

// A function of which, while one call is at work, only the last that was asked for waits.
export const latest = (work) => {
  let waiting = null, busy = false;
  return async (...asked) => {
    waiting = asked;
    if (busy) return;
    busy = true;
    try {
      while (waiting) {
        const now = waiting;
        waiting = null;
        await work(...now);
      }
    } finally {
      busy = false;
    }
  };
};
