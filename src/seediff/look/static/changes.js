// Changes of samples, sent one at a time, each on the version that the change before it made.
//
//   open, reload ──> ShownVersion: version 4
//                      ├─ a change was saved ───────> version 5
//                      └─ someone else was faster ──> replaced: all changes made on it are lost, and
//                                                     a reload makes another ShownVersion
//
// After an undo, redo or relabel, the server has another label map: until it is shown, nobody can paint.

import { Refused } from "./api.js";
import { countUnsaved, notice } from "./header.js";

export class ShownVersion {
  name = "";
  version = 0; // the sample's on the server
  newMaps = 0; // changes whose label map, made by the server, is not shown yet
  replaced = ""; // how someone else replaced it; empty while it is the newest
  lost = 0; // changes that were not saved

  // number: the sample's; none from the grid. found: a promise of the server's { name, version }.
  constructor(number, found) {
    this.number = number;
    this.ready = found.then(({ name, version }) => Object.assign(this, { name, version }));
    this.ready.catch(() => {}); // those who await it report it
  }

  replace(how) { this.replaced ||= how; }
}

export class Changes {
  last = Promise.resolve(); // fulfilled after the last change
  pending = new Map(); // sample's number → changes that are not saved yet

  // hear(state): the grid shows it. saved(shown, state, newMap), wrong(shown): promise to mend the view.
  constructor({ hear, saved, wrong }) { Object.assign(this, { hear, saved, wrong }); }

  pendingOf(number) { return this.pending.get(number) || 0; }

  // send(version): promises the new state. newMap: the server makes another label map.
  enqueue(shown, send, { newMap = false } = {}) {
    const { number } = shown;
    this.count(number, 1);
    shown.newMaps += Number(newMap);
    this.last = this.last.then(async () => {
      try {
        await shown.ready;
        if (shown.replaced) return void (await this.lose(shown));
        const state = await send(shown.version);
        shown.version = state.version;
        this.hear(state);
        await this.saved(shown, state, newMap);
      } catch (error) {
        await this.failed(shown, error);
      } finally {
        shown.newMaps -= Number(newMap);
        this.count(number, -1);
      }
    });
    return this.last;
  }

  count(number, by) {
    this.pending.set(number, this.pendingOf(number) + by);
    countUnsaved(by);
  }

  async failed(shown, error) {
    if (!(error instanceof Refused)) throw error;
    if (error.status === 409) {
      this.hear(error.answer);
      shown.replace(`Someone else changed ${shown.name}; their version was kept.`);
      await this.lose(shown);
    } else {
      notice(`Not saved: ${error.message}`);
      if (error.status) await this.wrong(shown);
    }
  }

  async lose(shown) {
    shown.lost += 1;
    const lost = shown.lost === 1 ? "1 of your changes was" : `${shown.lost} of your changes were`;
    notice(`${shown.replaced} ${lost} not saved.`);
    await this.wrong(shown);
  }
}
