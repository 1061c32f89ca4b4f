export const VERDICT = { accepted: "✓ accepted", rejected: "✗ rejected" };
export const IGNORED = 255;
export const marksOf = ({ corrected, divided, made }) => [
  corrected && "✎ corrected", divided && "objects changed", made && "new mask",
];

const FADE = 6000;
let fading;

export const $ = (id) => document.getElementById(id);

export const element = (tag, properties = {}, ...children) => {
  const made = Object.assign(document.createElement(tag), properties);
  made.append(...children);
  return made;
};

export const percent = (share) => `${(share * 100).toFixed(1)} %`;

export const clamp = (value, least, most) => Math.max(least, Math.min(most, value));

export const toPicture = () => $("stage").focus({ preventScroll: true });

export const counted = (count, noun) => `${count.toLocaleString()} ${noun}${count === 1 ? "" : "s"}`;

export const disable = (part, why) => {
  part.disabled = Boolean(why);
  if (why) part.title = why;
  else part.removeAttribute("title");
};

// tag: of `more`, an empty element at its end.
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

// Says something in a part of the page. busy: with the seconds, until something else is said.
export const say = (part, text, busy) => {
  let seconds = 0;
  clearInterval(part.ticking);
  Object.assign(part, { textContent: text }).dataset.seconds = "";
  if (busy) part.ticking = setInterval(() => { part.dataset.seconds = ` ${++seconds} s`; }, 1000);
};

// Calls work(...), one call after another. Of the calls that wait, only the last is made.
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

// undo: with a button that takes back the last change, so that the text goes at the next one.
export function notice(text, { undo = false } = {}) {
  clearInterval(fading);
  $("notice-undo").hidden = !undo;
  $("notice-text").textContent = text;
  $("notice").hidden = !text;
}

// over(): whether what the text is about is done.
export function hint(text, { undo = false, over = () => false } = {}) {
  notice(text, { undo });
  const end = Date.now() + FADE;
  fading = setInterval(() => { if (Date.now() > end || over()) notice(""); }, 100);
}

export const endUndo = () => $("notice-undo").hidden || notice("");

export const tell = (error) => notice(error.message);
