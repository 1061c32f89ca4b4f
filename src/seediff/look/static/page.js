// Small parts that several views are made of.

// What is too long to stand in the page whole can be scrolled, also by keys.
export const long = (element) => {
  const is = element.textContent.length > 300;
  element.classList.toggle("long", is);
  if (is) element.tabIndex = 0;
  else element.removeAttribute("tabindex");
};

export const radio = (group, value, text, key, colour) => {
  const label = document.createElement("label");
  label.className = "inline";
  const box = document.createElement("input");
  box.type = "radio";
  box.name = group;
  box.value = value;
  label.append(box);
  if (colour !== undefined) {
    const swatch = document.createElement("i");
    swatch.className = "swatch";
    swatch.style.background = colour;
    label.append(swatch);
  }
  const name = document.createElement("bdi");
  name.textContent = text;
  label.append(name);
  if (key) {
    const shown = document.createElement("kbd");
    shown.textContent = key;
    label.append(shown);
  }
  return { label, box };
};
