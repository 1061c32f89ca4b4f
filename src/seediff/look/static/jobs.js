// Changes of many samples: how they go on, and the button that undoes all of one.

import { post } from "./api.js";

const $ = (id) => document.getElementById(id);

export class Jobs {
  // page: { notice(text), refresh() }
  constructor(page) {
    this.page = page;
    $("job-stop").addEventListener("click", () => this.ask("/api/job", { action: "stop" }));
    $("job-undo").addEventListener("click", () => this.ask("/api/job", { action: "undo", job: this.job }));
    $("job-close").addEventListener("click", () => { $("job").hidden = true; });
  }

  ask(path, body) { return post(path, body).catch((error) => this.page.notice(error.message)); }

  hear({ job, text, done, total, ended, undoable }) {
    Object.assign(this, { job });
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
