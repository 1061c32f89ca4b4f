// Elements, texts and small functions that several modules use.

export const VERDICT = { accepted: "✓ accepted", rejected: "✗ rejected" };
export const OF_THE_MASK = ["confidence", "agreement"]; // values that some sets lack
export const IGNORED = 255;

export const $ = (id) => document.getElementById(id);

export const element = (tag, properties = {}, ...children) => {
  const made = Object.assign(document.createElement(tag), properties);
  made.append(...children);
  return made;
};

// [value, name] of everything that a pixel can be.
export const values = (classes) =>
  [[0, "background"], ...classes.map((name, i) => [i + 1, name]), [IGNORED, "ignored (255)"]];

// Fill two lists, to change a class into another one. The second list does not offer the class chosen in the first.
export const fillClasses = (from, to, classes) => {
  for (const list of [from, to]) {
    const [background, ...others] = values(classes).map(([value, name]) => new Option(name, value));
    const { value } = list;
    others.splice(-1, 0, background);
    list.replaceChildren(...others);
    if (value) list.value = value;
  }
  from.onchange = () => {
    for (const option of to.options) option.disabled = option.value === from.value;
    if (to.value === from.value) to.value = to.querySelector(":enabled").value;
  };
  from.onchange();
};

export const percent = (share) => `${(share * 100).toFixed(1)} %`;

export const clamp = (value, least, most) => Math.max(least, Math.min(most, value));

export const toPicture = () => $("stage").focus({ preventScroll: true });

export const counted = (count, noun) => `${count.toLocaleString()} ${noun}${count === 1 ? "" : "s"}`;

// Disable a button or field, and say why; without a reason, enable it.
export const grey = (part, why) => {
  part.disabled = Boolean(why);
  if (why) part.title = why;
  else part.removeAttribute("title");
};

// Make a radio button or checkbox: { label, box, more }. tag: of `more`, an empty element at its end. colour: of its
// swatch.
export const choice = (type, name, value, text, tag, colour) => {
  const box = element("input", { type, name, value });
  const more = element(tag);
  const label = element("label", { className: "choice" }, box, element("bdi", { textContent: text }), more);
  if (colour) {
    box.after(element("i", { className: "swatch" }));
    box.nextSibling.style.background = colour;
  }
  return { label, box, more };
};

// A function that calls work(...), one call after another. Of the calls that wait, only the last is made.
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
