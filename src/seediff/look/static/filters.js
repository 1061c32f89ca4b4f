// The form that says what is shown, and how many there are of each.

import { Histogram } from "./histogram.js";
import { VERDICT, choice, element } from "./page.js";

const STATES = { unreviewed: "not reviewed", ...VERDICT, corrected: "✎ corrected" };
const OF_THE_MASK = ["confidence", "agreement"]; // numbers that a set has or lacks
// Name, title, times how much its fields are the values, and between what they lie.
const RANGES = [["area", "Area, % of the picture", 100, 0], ["confidence", "Confidence", 1, -1], ["agreement", "Agreement with CA·SA", 1, 0]];
const FIELDS = ["text", "sort", ...RANGES.flatMap(([name]) => [`${name}-low`, `${name}-high`])];
const GROUPS = ["states", "classes", "flags"];

const counted = (form, group, value, text, colour) => {
  const { label, box, more: count } = choice("checkbox", group, value, text, { colour, more: "span" });
  count.className = "count";
  form.querySelector(`#${group}`).append(label);
  return { label, box, count };
};

export class Filters {
  // changed(): the form says something else.
  constructor(form, set, colour, changed) {
    this.form = form;
    this.boxes = { states: {}, classes: {}, flags: {} };
    for (const [value, text] of Object.entries(STATES)) this.boxes.states[value] = counted(form, "states", value, text);
    set.classes.forEach((name, i) => { this.boxes.classes[i + 1] = counted(form, "classes", i + 1, name, colour(i + 1)); });
    this.histograms = {};
    for (const [name, title, scale, least] of RANGES) {
      const bars = element("div", { id: `${name}-bars`, className: "histogram", ariaHidden: "true" });
      const fields = ["low", "high"].map((end) => element("input", { id: `${name}-${end}`, type: "number", min: least * scale, max: scale, step: "any", inputMode: "decimal" }));
      const labels = ["from", "to"].map((text, i) => element("label", { htmlFor: fields[i].id, textContent: text }));
      form.querySelector("#reset-filters").before(element("fieldset", { id: name, className: "range" }, element("legend", { textContent: title }), bars, labels[0], fields[0], labels[1], fields[1]));
      this.histograms[name] = new Histogram(bars, ...fields, { scale, bounds: [0, 1] });
    }
    for (const name of OF_THE_MASK) {
      form.querySelector(`#${name}`).hidden = !set[name];
      for (const option of form.querySelectorAll(`#sort option[value$=${name}]`)) option.hidden = option.disabled = !set[name];
    }
    for (const option of form.querySelectorAll("#sort option[value$=different]")) option.hidden = option.disabled = !set.compared;
    form.querySelector("#classes").hidden = !set.classes.length;
    form.addEventListener("submit", (event) => event.preventDefault());
    form.addEventListener("input", (event) => {
      clearTimeout(this.waiting);
      this.waiting = setTimeout(changed, event.target.type === "checkbox" ? 0 : 150);
    });
    form.querySelector("#reset-filters").addEventListener("click", () => { this.reset(); changed(); });
    const toggle = form.querySelector("#filters-toggle");
    toggle.addEventListener("click", () => toggle.setAttribute("aria-expanded", toggle.getAttribute("aria-expanded") !== "true"));
  }

  field(id) { return this.form.querySelector(`#${id}`); }

  chosen(group) { return Object.entries(this.boxes[group]).filter(([, one]) => one.box.checked).map(([name]) => name); }

  // Everything is shown, in the order that was chosen.
  reset() {
    const order = this.field("sort").value;
    this.form.reset();
    this.field("sort").value = order;
  }

  // What the form says, as texts for the address.
  values() {
    const lists = GROUPS.map((group) => [group, this.chosen(group).join(",")]);
    return Object.fromEntries([...FIELDS.map((id) => [id, this.field(id).value.trim()]), ...lists].filter(([, value]) => value !== "order"));
  }

  // The form says what an address said; whether that is something else.
  set(values) {
    const before = JSON.stringify(this.values());
    for (const id of FIELDS) this.field(id).value = values[id] ?? "";
    if (this.field("sort").selectedIndex < 0 || this.field("sort").selectedOptions[0].disabled) this.field("sort").value = "order";
    for (const group of GROUPS) {
      const wanted = (values[group] ?? "").split(",").filter(Boolean);
      if (group === "flags") for (const kind of wanted) this.flag(kind); // those of the set are heard of later
      for (const [name, one] of Object.entries(this.boxes[group])) one.box.checked = wanted.includes(name);
    }
    return JSON.stringify(this.values()) !== before;
  }

  flag(kind) { this.boxes.flags[kind] ||= counted(this.form, "flags", kind, kind === "none" ? "no flag" : kind.replaceAll("_", " ")); }

  query() {
    const value = (id) => this.field(id).value.trim();
    const range = ([name, , scale, least]) => {
      const [low, high] = [value(`${name}-low`), value(`${name}-high`)];
      return [name, low === "" && high === "" ? null : [low === "" ? least : Number(low) / scale, high === "" ? 1 : Number(high) / scale]];
    };
    const sort = value("sort");
    return {
      classes: this.chosen("classes").map(Number), flags: this.chosen("flags"), states: this.chosen("states"), text: value("text"),
      ...Object.fromEntries(RANGES.map(range)),
      sort: sort.replace(/^-/, ""), descending: sort.startsWith("-"),
    };
  }

  counts({ counts, histograms }) {
    for (const kind of Object.keys(counts.flags)) this.flag(kind);
    for (const group of GROUPS) {
      const most = Math.max(1, ...Object.values(counts[group]));
      for (const [name, one] of Object.entries(this.boxes[group])) {
        const count = counts[group][name] || 0;
        one.count.textContent = count.toLocaleString();
        one.label.style.setProperty("--share", `${(100 * count) / most}%`);
      }
    }
    for (const [name, bars] of Object.entries(this.histograms)) bars.show(histograms[name]);
  }
}
