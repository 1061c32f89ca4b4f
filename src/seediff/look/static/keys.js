// Every key of the page, in one table: what the help shows is what works.

export const KEYS = [
  ["?", "these keys"],
  ["arrows, Home, End, Page", "among the samples: choose one; on the picture: move the cross (Shift: by one pixel)"],
  ["Enter", "open the chosen sample; with the polygon: close it"],
  ["Esc", "back to all samples; with the polygon or a chosen piece: give it up"],
  ["J or PageDown, K or PageUp", "next, previous sample"],
  ["A, X, R", "accept, reject, neither"],
  ["Z, Y", "undo, redo: what was done to this sample, also earlier and by others"],
  ["L, B, E, P, F, S, G", "look (point at a pixel), brush, eraser, polygon, fill, segment, join pieces to one object"],
  ["[ and ]", "smaller, larger brush"],
  [", and .", "coarser, finer segments"],
  ["1 … 9, 0", "paint that class; 0 the background"],
  ["C", "search the classes; Enter paints the first that matches"],
  ["I", "paint 255: ignored"],
  ["Space", "on the picture: use the tool at the cross"],
  ["O", "hide or show the mask"],
  ["W", "next word of the prompt: where it is attended to"],
  ["+, −, =", "larger, smaller, fit"],
  ["U", "use the constants that are tried for this sample"],
];

export function fillHelp(body) {
  for (const [key, text] of KEYS) {
    const row = body.insertRow(), head = document.createElement("th");
    head.scope = "row";
    head.textContent = key;
    row.append(head);
    row.insertCell().textContent = text;
  }
}

// Whether a key is typed into a field, and so none of ours.
export const typing = (event) => {
  const { target } = event;
  if (event.ctrlKey || event.metaKey || event.altKey) return true;
  if (target instanceof HTMLInputElement) return !["checkbox", "radio", "button", "range"].includes(target.type);
  return target instanceof HTMLSelectElement || target instanceof HTMLTextAreaElement;
};
