// Changes of many samples, their progress, and undoing them together.

import { post } from "./api.js";
import { $, fillClasses, grey } from "./page.js";

export class Bulk {
  constructor(page) {
    this.page = page;
    this.fill();
    for (const part of $("selection").querySelectorAll("[data-action]")) {
      part.onclick = () => this.act(part.dataset.action);
    }
    $("select-none").onclick = () => page.grid.choose([]);
    $("job-stop").onclick = () => this.ask("/api/job", { action: "stop" });
    $("job-undo").onclick = () => this.ask("/api/job", { action: "undo", job: this.job });
    $("job-close").onclick = () => { $("job").hidden = true; };
  }

  fill() { fillClasses($("many-old"), $("many-new"), this.page.set.classes); }

  ask(path, body) { return post(path, body).catch((error) => this.page.notice(error.message)); }

  act(action) {
    const places = this.page.grid.ranges();
    const classes = action === "relabel" && { old: Number($("many-old").value), new: Number($("many-new").value) };
    return this.ask("/api/job", { view: this.page.list.view, places, action, ...classes });
  }

  show() {
    const { set, grid } = this.page;
    const none = !grid.chosen.size && "Select samples first: click the corner of a tile";
    $("selected").textContent = `${grid.chosen.size.toLocaleString()} selected`;
    for (const part of $("selection").querySelectorAll("button, select")) {
      grey(part, none || (part.id !== "select-none" && set.readOnly));
    }
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
