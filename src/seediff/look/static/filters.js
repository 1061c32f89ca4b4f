// The form that says what is shown, and how many there are of each.

import { Histogram } from "./histogram.js";
import { $, VERDICT, choice, element } from "./page.js";

const STATES = { unreviewed: "not reviewed", ...VERDICT, corrected: "✎ corrected" };
const OF_THE_MASK = ["confidence", "agreement"]; // numbers that a set has or lacks
// Name, title, scale of the fields, least value.
const RANGES = [["area", "Area, % of the picture", 100, 0], ["confidence", "Confidence, 0 to 1", 1, -1], ["agreement", "Agreement with CA·SA, 0 to 1", 1, 0]];
const FIELDS = ["text", "sort", ...RANGES.flatMap(([name]) => [`${name}-low`, `${name}-high`])];
const SORTS = [
  ["order", "as in the dataset", "as in the dataset, last first"], ["name", "name"], ["area", "area, smallest first", "area, largest first"],
  ["confidence", "confidence, lowest first", "confidence, highest first"], ["agreement", "agreement, lowest first", "agreement, highest first"],
  ["flags", "", "most flags"], ["recent", "", "recently changed"], ["miou", "mIoU, worst first", "mIoU, best first"],
]; // name, title, title if descending
const GROUPS = ["states", "classes", "flags"];

const counted = (group, value, text, colour) => {
  const { label, box, more: count } = choice("checkbox", group, value, text, { colour, more: "span" });
  count.className = "count";
  $(group).append(label);
  return { label, box, count };
};

export class Filters {
  // changed(): the form says something else.
  constructor(form, set, colour, changed) {
    this.form = form;
    this.boxes = { states: {}, classes: {}, flags: {} };
    for (const [value, text] of Object.entries(STATES)) this.boxes.states[value] = counted("states", value, text);
    this.classes(set.classes, colour);
    this.histograms = {};
    for (const [name, title, scale, least] of RANGES) {
      const bars = element("div", { id: `${name}-bars`, className: "histogram", ariaHidden: "true" });
      const fields = ["low", "high"].map((end) => element("input", { id: `${name}-${end}`, name: `${name}-${end}`, type: "number", min: least * scale, max: scale, step: "any", inputMode: "decimal" }));
      const labels = ["from", "to"].map((text, i) => element("label", { htmlFor: fields[i].id, textContent: text }));
      $("reset-filters").before(element("fieldset", { id: name, className: "range" }, element("legend", { textContent: title }), bars, labels[0], fields[0], labels[1], fields[1]));
      this.histograms[name] = new Histogram(bars, ...fields, scale);
    }
    for (const name of OF_THE_MASK) $(name).hidden = !set[name];
    const lacks = (name) => (name === "miou" ? !set.against : OF_THE_MASK.includes(name) && !set[name]);
    for (const [name, ...titles] of SORTS.filter(([one]) => !lacks(one))) titles.forEach((title, i) => { if (title) $("sort").add(new Option(title, (i ? "-" : "") + name)); });
    this.usual = set.against ? "miou" : "order";
    $("sort").value = this.usual;
    form.onsubmit = () => false;
    form.oninput = (event) => {
      clearTimeout(this.waiting);
      this.waiting = setTimeout(changed, event.target.type === "checkbox" ? 0 : 150);
    };
    $("reset-filters").onclick = () => { this.reset(); changed(); };
    const toggle = $("filters-toggle");
    toggle.onclick = () => toggle.setAttribute("aria-expanded", toggle.ariaExpanded !== "true");
  }

  // The set's classes, of which there may be more than before.
  classes(names, colour) {
    names.forEach((name, i) => { this.boxes.classes[i + 1] ||= counted("classes", i + 1, name, colour(i + 1)); });
    $("classes").hidden = !names.length;
  }

  search() {
    const toggle = $("filters-toggle");
    if (toggle.ariaExpanded === "false") toggle.click(); // it is seen in narrow windows only
    $("text").focus();
  }

  // Everything is shown, in the order that was chosen.
  reset() {
    const order = $("sort").value;
    this.form.reset();
    $("sort").value = order;
  }

  // What the form says, as texts for the address.
  values() {
    const data = new FormData(this.form);
    return Object.fromEntries([...FIELDS, ...GROUPS].map((name) => [name, data.getAll(name).join(",").trim()]).filter(([, value]) => value !== this.usual));
  }

  // The form says what an address said; whether that is something else.
  set(values) {
    const before = JSON.stringify(this.values());
    for (const id of FIELDS) $(id).value = values[id] ?? "";
    if ($("sort").selectedIndex < 0) $("sort").value = this.usual;
    for (const group of GROUPS) {
      const wanted = (values[group] ?? "").split(",").filter(Boolean);
      if (group === "flags") for (const kind of wanted) this.flag(kind); // those of the set are heard of later
      for (const [name, one] of Object.entries(this.boxes[group])) one.box.checked = wanted.includes(name);
    }
    return JSON.stringify(this.values()) !== before;
  }

  flag(kind) { this.boxes.flags[kind] ||= counted("flags", kind, kind === "none" ? "no flag" : kind.replaceAll("_", " ")); }

  query() {
    const data = new FormData(this.form), value = (id) => data.get(id).trim(), sort = value("sort");
    const range = ([name, , scale, least]) => {
      const [low, high] = [value(`${name}-low`), value(`${name}-high`)];
      return [name, low === "" && high === "" ? null : [low === "" ? least : Number(low) / scale, high === "" ? 1 : Number(high) / scale]];
    };
    return {
      classes: data.getAll("classes").map(Number), flags: data.getAll("flags"), states: data.getAll("states"), text: value("text"),
      ...Object.fromEntries(RANGES.map(range)),
      sort: sort.replace(/^-/, ""), descending: sort.startsWith("-"),
    };
  }

  counts({ counts, histograms }) {
    for (const kind of Object.keys(counts.flags)) this.flag(kind);
    for (const group of GROUPS) {
      for (const [name, one] of Object.entries(this.boxes[group])) {
        one.count.textContent = (counts[group][name] || 0).toLocaleString();
      }
    }
    for (const [name, bars] of Object.entries(this.histograms)) bars.show(histograms[name]);
  }
}
