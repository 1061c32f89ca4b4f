// The form that says what is shown, and how many there are of each.

import { choice } from "./page.js";

const STATES = { unreviewed: "not reviewed", accepted: "✓ accepted", rejected: "✗ rejected", corrected: "✎ corrected" };

const counted = (form, group, value, text, colour) => {
  const { label, box, more: count } = choice("checkbox", group, value, text, { colour, more: "span" });
  count.className = "count";
  form.querySelector(`#${group}`).append(label);
  return { box, count };
};

export class Filters {
  // changed(): the form says something else.
  constructor(form, set, colour, changed) {
    this.form = form;
    this.boxes = { states: {}, classes: {}, flags: {} };
    for (const [value, text] of Object.entries(STATES)) this.boxes.states[value] = counted(form, "states", value, text);
    set.classes.forEach((name, i) => { this.boxes.classes[i + 1] = counted(form, "classes", i + 1, name, colour(i + 1)); });
    if (!set.confidence) {
      form.querySelector("#no-confidence").hidden = false;
      form.querySelector("#confidence").disabled = true;
      for (const option of form.querySelectorAll("#sort option[value$=confidence]")) {
        option.disabled = true;
        option.textContent += " (not known)";
      }
    }
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
      if (!this.boxes.flags[kind]) this.boxes.flags[kind] = counted(this.form, "flags", kind, kind === "none" ? "no flag" : kind.replaceAll("_", " "));
    }
    for (const group of ["states", "classes", "flags"]) {
      for (const [name, one] of Object.entries(this.boxes[group])) one.count.textContent = (counts[group][name] || 0).toLocaleString();
    }
  }
}
