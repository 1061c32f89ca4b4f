// Small parts that several views are made of.

// What is too long to stand in the page whole can be scrolled, also by keys.
export const long = (element) => {
  const is = element.textContent.length > 300;
  element.classList.toggle("long", is);
  if (is) element.tabIndex = 0;
  else element.removeAttribute("tabindex");
};

// A box of a group with its name, and what is said after it: { label, box, more }. type: "radio" or "checkbox"; more: an element's tag.
export const choice = (type, group, value, text, { colour, more }) => {
  const parts = ["label", "input", "bdi", more].map((tag) => document.createElement(tag));
  const [label, box, name, last] = parts;
  label.className = "choice";
  Object.assign(box, { type, name: group, value });
  name.textContent = text;
  label.append(box);
  if (colour !== undefined) {
    const swatch = document.createElement("i");
    swatch.className = "swatch";
    swatch.style.background = colour;
    label.append(swatch);
  }
  label.append(name, last);
  return { label, box, more: last };
};
