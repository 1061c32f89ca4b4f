// Changes of many selected samples as a job of the server: starting, progress, undo. browse.js owns it.

import { post } from "./api.js";
import { $, disable, tell } from "./page.js";
import { fillClasses, set } from "./set.js";

// Start a job, or say why not. changes: Changes, whose next undo is the job's unless the server refuses it.
export async function startJob(changes, path, body) {
  const before = changes.made;
  const made = { job: post(path, body).then(({ job }) => job) };
  changes.made = made;
  try {
    await made.job;
  } catch (error) {
    if (changes.made === made) changes.made = before;
    tell(error);
  }
}

export class Bulk {
  constructor(browse) {
    this.browse = browse;
    this.fill();
    for (const part of $("selection").querySelectorAll("[data-action]")) {
      part.onclick = () => browse.judge(part.dataset.action);
    }
    $("select-none").onclick = () => browse.grid.choose([]);
    $("job-stop").onclick = () => post("/api/job", { action: "stop" }).catch(tell);
    $("job-undo").onclick = () => this.undo(this.job);
    $("job-close").onclick = () => { $("job").hidden = true; };
  }

  fill() { fillClasses($("many-old"), $("many-new")); }

  act(action) {
    const { changes, grid, list } = this.browse;
    const classes = action === "relabel" && { old: Number($("many-old").value), new: Number($("many-new").value) };
    return startJob(changes, "/api/job", { view: list.view, places: grid.ranges(), action, ...classes });
  }

  // Undo a job of any window. job: its name, or a promise of it.
  async undo(job) {
    const { changes } = this.browse;
    const { made } = changes;
    try {
      const name = await job;
      await post("/api/job", { action: "undo", job: name });
      if (changes.made === made && await made?.job === name) changes.made = null;
    } catch (error) {
      tell(error);
    }
  }

  // How many samples are selected.
  show() {
    const { chosen: { size: count }, list } = this.browse.grid;
    const none = !count && "Select samples first: click the corner of a tile";
    $("selected").textContent = `${count.toLocaleString()} selected`;
    for (const part of $("selection").querySelectorAll("button, select")) {
      const { action } = part.dataset;
      const isJudging = action && action !== "relabel"; // without a selection, of the active sample
      const lacks = isJudging ? !list.count && "No samples" : none;
      disable(part, lacks || (part.id !== "select-none" && set.readOnly));
    }
  }

  // Show what the server reports of a job.
  hear({ job, text, done, total, ended, undoable }) {
    this.job = job;
    $("job").hidden = false;
    $("job").ariaBusy = !ended;
    $("job-text").textContent = text;
    Object.assign($("job-bar"), { max: Math.max(1, total), value: done, hidden: ended });
    $("job-stop").hidden = ended;
    $("job-undo").hidden = !undoable;
    $("job-close").hidden = !ended;
    if (ended) this.browse.refresh({ keep: true });
  }
}
