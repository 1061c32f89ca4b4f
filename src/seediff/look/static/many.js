// Changes of many samples: which are selected in the grid, how a change goes on, and the button that undoes all of it.

import { post } from "./api.js";
import { $, valueOptions } from "./page.js";

export class Many {
  // page: { set, notice(text), refresh(), list }
  constructor(page) {
    this.page = page;
    const { set } = page;
    for (const id of ["many-old", "many-new"]) $(id).append(...valueOptions(set.classes));
    for (const part of $("selection").querySelectorAll("[data-action], select")) {
      const { action } = part.dataset;
      part.disabled = Boolean(set.readOnly) || (!set.editable && (!action || action === "relabel"));
      if (action) part.addEventListener("click", () => this.act(action));
    }
    $("select-none").addEventListener("click", () => page.grid.choose([]));
    $("job-stop").addEventListener("click", () => this.ask("/api/job", { action: "stop" }));
    $("job-undo").addEventListener("click", () => this.ask("/api/job", { action: "undo", job: this.job }));
    $("job-close").addEventListener("click", () => { $("job").hidden = true; });
  }

  ask(path, body) { return post(path, body).catch((error) => this.page.notice(error.message)); }

  act(action) {
    const more = action === "relabel" ? { old: Number($("many-old").value), new: Number($("many-new").value) } : {};
    return this.ask("/api/job", { view: this.page.list.view, places: this.page.grid.ranges(), action, ...more });
  }

  show() {
    const { size } = this.page.grid.chosen;
    $("selection").hidden = !size;
    $("selected").textContent = size ? `${size.toLocaleString()} selected` : "";
  }

  hear({ job, text, done, total, ended, undoable }) {
    this.job = job;
    $("job").hidden = false;
    $("job").setAttribute("aria-busy", !ended);
    $("job-text").textContent = text;
    Object.assign($("job-bar"), { max: Math.max(1, total), value: done, hidden: ended });
    $("job-stop").hidden = ended;
    $("job-undo").hidden = !undoable;
    $("job-close").hidden = !ended;
    if (ended) this.page.refresh({ keep: true });
  }
}
