// The classes to paint with, in the set's order. A field finds or adds a class.

import { $, IGNORED, choice, disable, element, hint, percent, toPicture } from "./page.js";
import { css, fillClasses, nameOf, set, values } from "./set.js";

export class Classes {
  value = -1;
  picked = false; // by a person: then it stays, whatever the next picture shows
  area = {};

  constructor(view) {
    this.view = view;
    this.field = $("class-search");
    this.field.oninput = () => this.list();
    this.field.onkeydown = (event) => {
      if (event.key !== "Enter" && event.key !== "Escape") return;
      event.preventDefault();
      event.stopPropagation();
      if (event.key === "Escape") this.end();
      else if (event.shiftKey) this.add();
      else this.find();
    };
    $("class-add").onclick = () => this.add();
    this.fill();
  }

  fill() {
    this.rows = values().map(([value, name]) => {
      const { label, box, more } = choice("radio", "paint-class", value, name, "kbd", css(value));
      const share = element("span", { className: "count" });
      more.textContent = value === IGNORED ? "I" : value;
      more.hidden = value > 9 && value !== IGNORED;
      label.append(share);
      box.disabled = Boolean(set.readOnly);
      box.onchange = () => this.pick(value);
      return { value, name, label, box, share };
    });
    $("paint-classes").replaceChildren($("paint-classes").firstElementChild, ...this.rows.map((row) => row.label));
    fillClasses($("old-class"), $("new-class"));
    const classes = this.rows.filter(({ value }) => value && value < IGNORED);
    this.choose(this.value >= 0 ? this.value : classes[0]?.value ?? 0);
    this.show(this.area);
  }

  pick(value) {
    if (!this.rows.some((row) => row.value === value)) {
      return hint(`This set has no class ${value}: ${nameOf(this.value)} stays chosen.`);
    }
    this.picked = true;
    this.choose(value);
  }

  choose(value) {
    const { label, box } = this.rows.find((row) => row.value === value);
    this.value = value;
    box.checked = true;
    if (this.view.tool) this.view.showPainted();
    label.scrollIntoView({ block: "nearest", container: "nearest" });
    this.list();
  }

  show(area) {
    this.area = area;
    for (const { value, name, label, share } of this.rows) {
      share.textContent = name in area ? percent(area[name]) : "";
      label.classList.toggle("absent", value > 0 && value < IGNORED && !(name in area));
    }
    this.list();
  }

  enter() {
    const present = this.rows.filter(({ value, name }) => value && name in this.area);
    if (!present.length) return;
    const largest = present.reduce((a, b) => (this.area[b.name] > this.area[a.name] ? b : a));
    $("old-class").value = largest.value;
    $("old-class").onchange();
    if (!this.picked && !present.some(({ value }) => value === this.value)) this.choose(largest.value);
  }

  get typed() { return this.field.value.trim().normalize("NFC"); }

  matching() {
    const text = this.typed.toLowerCase();
    const rank = ({ name }) => (name.toLowerCase().startsWith(text) ? 0 : 1);
    return this.rows.filter(({ name }) => name.toLowerCase().includes(text)).sort((a, b) => rank(a) - rank(b));
  }

  list() {
    const shown = this.matching();
    for (const row of this.rows) row.label.hidden = !shown.includes(row);
    let why = !this.typed && "Type the name of the new class";
    if (this.rows.some(({ name }) => name === this.typed)) why = "This class already exists";
    disable($("class-add"), set.readOnly || why);
  }

  find() {
    const [first] = this.matching();
    if (!first) return hint(`There is no class “${this.typed}”. Shift+Enter adds it.`);
    if (this.typed) this.pick(first.value);
    return this.end();
  }

  async add() {
    if ($("class-add").disabled) return;
    const { typed } = this;
    if (!(await this.view.page.addClass(typed))) return;
    this.pick(set.classes.indexOf(typed) + 1);
    this.end();
  }

  end() {
    this.field.value = "";
    this.list();
    toPicture();
  }
}
