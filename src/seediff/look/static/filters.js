// The form that filters and sorts the grid, with the number of samples for each choice.

import { Histogram } from "./histogram.js";
import { $, VERDICT, choice, element } from "./page.js";
import { all } from "./samples.js";
import { css, set } from "./set.js";

const STATES = { unreviewed: "not reviewed", ...VERDICT, corrected: "✎ corrected" };
const GROUPS = ["states", "classes", "flags"];
const RANGES = [
  { name: "area", title: "Area, % of the image", scale: 100, least: 0, help: "" },
  ...set.scores.map((score) => ({ ...score, scale: 1 })),
]; // scale: a field shows the value times this
const SORTS = [
  ["order", "as in the dataset", "as in the dataset, last first"],
  ["area", "area, smallest first", "area, largest first"],
  ...set.scores.map(({ name }) => {
    if (name === "doubt") return [name, "least doubtful first", "most doubtful first"];
    const said = name.replaceAll("_", " ");
    return [name, `${said}, lowest first`, `${said}, highest first`];
  }),
  ["flags", "", "most flags"],
];
export const USUAL = set.scores.some(({ name }) => name === "doubt") && all.some(({ verdict }) => !verdict) ? "-doubt" : "order";
const FIELDS = ["text", "sort", ...RANGES.flatMap(({ name }) => [`${name}-low`, `${name}-high`])];

export class Filters {
  boxes = { states: {}, classes: {}, flags: {} };
  histograms = {};

  constructor(form, changed) {
    this.form = form;
    for (const [value, text] of Object.entries(STATES)) this.add("states", value, text);
    this.addClasses();
    for (const range of RANGES) this.addRange(range);
    this.fillSorts();
    form.onsubmit = () => false;
    form.oninput = (event) => {
      clearTimeout(this.waiting);
      this.waiting = setTimeout(changed, event.target.type === "checkbox" ? 0 : 150);
    };
    $("reset-filters").onclick = $("empty-clear").onclick = () => {
      this.reset();
      changed();
    };
  }

  add(group, value, text, colour) {
    const made = choice("checkbox", group, value, text, "span", colour);
    made.more.className = "count";
    $(group).append(made.label);
    this.boxes[group][value] = made;
  }

  addRange({ name, title, scale, least, help }) {
    const bars = element("div", { className: "histogram", ariaHidden: "true" });
    const bounds = { type: "number", min: least * scale, max: scale, step: "any", inputMode: "decimal", placeholder: " " };
    const [low, high] = ["low", "high"].map((end) => {
      return element("input", { id: `${name}-${end}`, name: `${name}-${end}`, ...bounds });
    });
    $("reset-filters").before(element("details", { id: name, className: "range", ariaLabel: title },
      element("summary", { textContent: title, title: help }), bars,
      element("label", { htmlFor: low.id, textContent: "from" }), low,
      element("label", { htmlFor: high.id, textContent: "to" }), high));
    this.histograms[name] = new Histogram(bars, low, high, scale);
  }

  fillSorts() {
    for (const [name, title, descending] of SORTS) {
      if (title) $("sort").add(new Option(title, name));
      $("sort").add(new Option(descending, `-${name}`));
    }
    $("sort").value = USUAL;
  }

  addClasses() {
    const chosen = new FormData(this.form).getAll("classes").map(Number);
    for (const { label } of Object.values(this.boxes.classes)) label.remove();
    this.boxes.classes = {};
    set.classes.forEach((name, i) => {
      this.add("classes", i + 1, name, css(i + 1));
      this.boxes.classes[i + 1].box.checked = chosen.includes(i + 1);
    });
    $("classes").hidden = !set.classes.length;
  }

  reset() {
    const order = $("sort").value;
    this.form.reset();
    $("sort").value = order;
  }

  values() {
    const data = new FormData(this.form);
    const texts = [...FIELDS, ...GROUPS].map((name) => [name, data.getAll(name).join(",").trim()]);
    return Object.fromEntries(texts.filter(([name, text]) => name !== "sort" || text !== USUAL));
  }

  set(values) {
    const before = JSON.stringify(this.values());
    for (const id of FIELDS) $(id).value = values[id] ?? "";
    if ($("sort").selectedIndex < 0) $("sort").value = USUAL;
    for (const group of GROUPS) {
      const wanted = (values[group] ?? "").split(",").filter(Boolean);
      if (group === "flags") for (const kind of wanted) this.addFlag(kind); // the set's flags come later
      for (const [name, one] of Object.entries(this.boxes[group])) one.box.checked = wanted.includes(name);
    }
    const used = "input:checked, input[type=number]:not(:placeholder-shown)"; // a filter that counts is seen
    for (const fold of this.form.querySelectorAll("details")) fold.open ||= fold.querySelector(used);
    return JSON.stringify(this.values()) !== before;
  }

  addFlag(kind) {
    if (!this.boxes.flags[kind]) this.add("flags", kind, kind === "none" ? "no flag" : kind.replaceAll("_", " "));
  }

  query() {
    const data = new FormData(this.form);
    const sort = data.get("sort");
    const query = {
      classes: data.getAll("classes").map(Number), flags: data.getAll("flags"), states: data.getAll("states"),
      text: data.get("text").trim(), bounds: {}, sort: sort.replace(/^-/, ""), descending: sort.startsWith("-"),
    };
    for (const { name, scale, least } of RANGES) {
      const [low, high] = [data.get(`${name}-low`), data.get(`${name}-high`)];
      if (low || high) query.bounds[name] = [low ? low / scale : least, high ? high / scale : 1];
    }
    return query;
  }

  showCounts({ counts, histograms }) {
    const kinds = Object.keys(counts.flags).sort((a, b) => (a === "none") - (b === "none") || (a < b ? -1 : 1));
    for (const kind of kinds) this.addFlag(kind);
    for (const group of GROUPS) {
      for (const [name, one] of Object.entries(this.boxes[group])) {
        one.more.textContent = (counts[group][name] || 0).toLocaleString();
      }
    }
    for (const [name, bars] of Object.entries(this.histograms)) bars.show(histograms[name]);
  }
}
