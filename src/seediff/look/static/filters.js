// The form that says what is shown, and how many there are of each.

const STATES = { unreviewed: "not reviewed", accepted: "✓ accepted", rejected: "✗ rejected", corrected: "✎ corrected" };

const choice = (form, group, value, text, colour) => {
  const label = document.createElement("label");
  label.className = "choice";
  const box = document.createElement("input");
  box.type = "checkbox";
  box.name = group;
  box.value = value;
  label.append(box);
  if (colour !== undefined) {
    const swatch = document.createElement("i");
    swatch.className = "swatch";
    swatch.style.background = colour;
    label.append(swatch);
  }
  const name = document.createElement("span"), count = document.createElement("span");
  const own = document.createElement("bdi");
  own.textContent = text;
  name.append(own);
  count.className = "count";
  label.append(name, count);
  form.querySelector(`#${group}`).append(label);
  return { box, count };
};

export class Filters {
  // changed(): the form says something else.
  constructor(form, set, colour, changed) {
    this.form = form;
    this.boxes = { states: {}, classes: {}, flags: {} };
    for (const [value, text] of Object.entries(STATES)) this.boxes.states[value] = choice(form, "states", value, text);
    set.classes.forEach((name, i) => { this.boxes.classes[i + 1] = choice(form, "classes", i + 1, name, colour(i + 1)); });
    form.querySelector("#classes").hidden = !set.classes.length;
    form.addEventListener("submit", (event) => event.preventDefault());
    form.addEventListener("input", (event) => {
      clearTimeout(this.waiting);
      this.waiting = setTimeout(changed, event.target.type === "checkbox" ? 0 : 150);
    });
    form.querySelector("#reset-filters").addEventListener("click", () => { form.reset(); changed(); });
    const toggle = form.querySelector("#filters-toggle");
    toggle.addEventListener("click", () => toggle.setAttribute("aria-expanded", toggle.getAttribute("aria-expanded") !== "true"));
  }

  query() {
    const value = (id) => this.form.querySelector(id).value.trim();
    const chosen = (group) => Object.entries(this.boxes[group]).filter(([, one]) => one.box.checked).map(([name]) => name);
    const range = (name, scale, least, most) => {
      const [low, high] = [value(`#${name}-low`), value(`#${name}-high`)];
      return low === "" && high === "" ? null : [low === "" ? least : Number(low) / scale, high === "" ? most : Number(high) / scale];
    };
    const sort = value("#sort");
    return {
      classes: chosen("classes").map(Number), flags: chosen("flags"), states: chosen("states"), text: value("#text"),
      area: range("area", 100, 0, 1), confidence: range("confidence", 1, -1, 1),
      sort: sort.replace(/^-/, ""), descending: sort.startsWith("-"),
    };
  }

  counts(counts) {
    for (const kind of Object.keys(counts.flags)) {
      if (!this.boxes.flags[kind]) this.boxes.flags[kind] = choice(this.form, "flags", kind, kind === "none" ? "no flag" : kind.replaceAll("_", " "));
    }
    for (const group of ["states", "classes", "flags"]) {
      for (const [name, one] of Object.entries(this.boxes[group])) one.count.textContent = (counts[group][name] || 0).toLocaleString();
    }
  }
}
