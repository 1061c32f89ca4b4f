// What is done to all selected samples of the grid at once.

import { values } from "./page.js";

const $ = (id) => document.getElementById(id);

export class Selection {
  // page: { set, jobs, viewName() }
  constructor(page, grid) {
    Object.assign(this, { page, grid });
    for (const id of ["many-old", "many-new"]) $(id).append(...values(page.set.classes).map(([value, name]) => new Option(name, value)));
    for (const button of $("selection").querySelectorAll("[data-action]")) button.addEventListener("click", () => this.act(button.dataset.action));
    $("select-none").addEventListener("click", () => grid.choose([]));
    for (const part of $("selection").querySelectorAll("[data-action], select")) part.disabled = Boolean(page.set.readOnly);
    for (const part of $("selection").querySelectorAll("[data-action=relabel], select")) part.disabled ||= !page.set.editable;
  }

  act(action) {
    const more = action === "relabel" ? { old: Number($("many-old").value), new: Number($("many-new").value) } : {};
    return this.page.jobs.ask("/api/job", { view: this.page.viewName(), places: this.grid.ranges(), action, ...more });
  }

  show() {
    const { size } = this.grid.chosen;
    $("selection").hidden = !size;
    $("selected").textContent = size ? `${size.toLocaleString()} selected` : "";
  }
}
