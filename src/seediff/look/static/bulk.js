// Changes of many samples: sent in parts, with their progress, a stop, and an undo.

import { post } from "./api.js";
import { $, counted, disable, hint, notice } from "./page.js";
import { forget } from "./samples.js";
import { fillClasses, set } from "./set.js";

const DONE = {
  accept: "accepted", reject: "rejected", reset: "cleared", relabel: "relabelled", cleaned: "cleaned", undo: "undone", redo: "redone",
};

export class Bulk {
  running = false;

  constructor(browse) {
    this.browse = browse;
    this.fill();
    for (const part of $("selection").querySelectorAll("[data-action]")) {
      part.onclick = () => browse.judge(part.dataset.action);
    }
    $("select-none").onclick = () => browse.grid.choose([]);
    $("job-stop").onclick = () => { this.running = false; };
  }

  fill() { fillClasses($("many-old"), $("many-new")); }

  act(action) {
    const { grid, list } = this.browse;
    const classes = action === "relabel" && { old: Number($("many-old").value), new: Number($("many-new").value) };
    const samples = [...grid.chosen].sort((a, b) => a - b).map((place) => list.at(place));
    return this.run(samples, "/api/act", { action, ...classes });
  }

  restore(entry, redo) {
    const { own } = this.browse.changes;
    const samples = entry.items.map(({ number, before, after }) => {
      return { index: number, version: own.get(number), to: redo ? after : before };
    });
    return this.run(samples, "/api/act", { action: redo ? "redo" : "undo" }, { restored: entry });
  }

  async run(samples, path, body, { part = 20, restored } = {}) {
    const { changes, page } = this.browse;
    if (this.running) return hint("Another change is running.");
    this.running = true;
    notice("");
    const items = [], others = {};
    let done = 0, failed = "";
    await changes.last;
    try {
      for (; done < samples.length && this.running; done += part) {
        $("job").hidden = false;
        $("job-text").textContent = `${done} of ${counted(samples.length, "sample")}`;
        Object.assign($("job-bar"), { max: samples.length, value: done });
        const some = samples.slice(done, done + part);
        const to = restored && { to: Object.fromEntries(some.map((sample) => [sample.index, sample.to])) };
        const pairs = some.map(({ index, version }) => [index, version]);
        const { samples: states, refused } = await post(path, { ...body, ...to, samples: pairs });
        for (const [i, state] of states.entries()) {
          const why = refused[state.index];
          if (why === undefined) {
            const item = { number: state.index };
            changes.remember(item, item.number, some[i].version, state.version);
            items.push(item);
          } else others[why || "unchanged"] = 1 + (others[why || "unchanged"] ?? 0);
          changes.update(state);
          forget(state.index);
        }
      }
    } catch (error) {
      failed = error.message;
    }
    this.running = false;
    if (items.length && !restored) changes.add({ items });
    changes.say();
    const rest = Object.entries(others).map(([why, count]) => `${count} ${why}`);
    $("job").hidden = true;
    const text = [`${items.length} ${DONE[body.action] ?? "remade"}`, ...rest, failed].filter(Boolean).join("; ");
    notice(text, { undo: items.length && !restored });
    page.changed();
  }

  show() {
    const count = this.browse.grid.chosen.size;
    $("selected").textContent = count ? `${count.toLocaleString()} selected` : "To select, click a tile’s corner, or Space";
    $("select-none").hidden = !count;
    for (const part of document.querySelectorAll(".many")) part.textContent = count ? count.toLocaleString() : "";
    for (const part of $("selection").querySelectorAll("[data-action], select")) {
      disable(part, (!count && "Select samples first") || set.readOnly);
    }
  }
}
