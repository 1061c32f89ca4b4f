// The classes to paint with: those of the picture come first, with their share of it; a set of many has a field to search them in.

import { $, IGNORED, choice, element, valueOptions, values } from "./page.js";

const FEW = 20; // of the classes that the picture lacks, so many are shown before somebody searches

export class Classes {
  // names: of values 1 …; colour(value): in CSS; leave(): the keyboard goes back to the picture.
  constructor(names, colour, leave) {
    Object.assign(this, { names, value: names.length ? 1 : 0, rows: [], present: [] });
    for (const [value, name] of values(names)) {
      const { label, box, more } = choice("radio", "paint-class", value, name, { colour: colour(value), more: "kbd" }), share = element("span", { className: "count" });
      more.textContent = value === IGNORED ? "I" : value;
      more.hidden = value > 9 && value !== IGNORED;
      label.append(share);
      box.addEventListener("change", () => this.choose(value));
      this.rows.push({ value, name, label, box, share });
    }
    for (const id of ["old-class", "new-class"]) $(id).append(...valueOptions(names));
    $("class-search-line").hidden = names.length <= 9;
    $("class-search").addEventListener("input", () => this.list());
    $("class-search").addEventListener("keydown", (event) => {
      if (event.key !== "Enter" && event.key !== "Escape") return;
      event.preventDefault();
      event.stopPropagation(); // Escape would close the sample
      const first = $("class-search").value && this.matching()[0];
      if (event.key === "Enter" && first) this.choose(first.value);
      $("class-search").value = "";
      this.list();
      leave();
    });
    this.choose(this.value);
    this.list();
  }

  choose(value) {
    this.value = value;
    this.rows.find((row) => row.value === value).box.checked = true;
  }

  // The picture's classes, and the share of it that each has.
  tell(area) {
    this.present = Object.entries(area).sort((a, b) => b[1] - a[1]).map(([name]) => this.names.indexOf(name) + 1).filter((value) => value > 0);
    for (const row of this.rows) row.share.textContent = row.name in area ? `${(area[row.name] * 100).toFixed(1)} %` : "";
    this.list();
  }

  // Another picture, of which was told: a stroke is to be of one of its classes.
  enter() {
    const painting = this.value !== 0 && this.value !== IGNORED;
    if (painting && this.present.length && !this.present.includes(this.value)) this.choose(this.present[0]);
    this.list();
  }

  search() {
    if (!$("class-search-line").hidden) $("class-search").focus();
  }

  matching() {
    const text = $("class-search").value.trim().toLowerCase();
    const rank = ({ name }) => (name.toLowerCase().startsWith(text) ? 0 : 1);
    return this.rows.filter(({ name }) => name.toLowerCase().includes(text)).sort((a, b) => rank(a) - rank(b));
  }

  list() {
    const always = [0, IGNORED, this.value, ...this.present], searched = $("class-search").value.trim();
    const place = ({ value }) => (this.present.includes(value) ? this.present.indexOf(value) : this.present.length);
    let shown = this.matching().map((row, i) => [place(row), i, row]).sort((a, b) => a[0] - b[0] || a[1] - b[1]).map(([, , row]) => row);
    const all = shown.length;
    let room = FEW;
    shown = shown.filter(({ value }) => (!searched && always.includes(value)) || room-- > 0);
    $("paint-classes").replaceChildren($("paint-classes").firstElementChild, ...shown.map((row) => row.label));
    for (const { value, box } of this.rows) box.checked = value === this.value; // a radio button outside of the page is in no group
    $("class-more").textContent = all > shown.length ? `${all - shown.length} more: search for them` : "";
  }
}
