// Changes of samples, sent one at a time, each on what the one before left.
//
//   open, reload ──> ShownVersion: version 4, map 0
//                      │  a stroke is made on map 0, and on any version
//                      ├─ saved ─────────────────────────> version 5, map 0
//                      ├─ saved, as an undo or relabel ──> version 6, map 1: strokes made on map 0 are lost
//                      └─ someone else was faster ───────> replaced: all changes made on it are lost, and
//                                                          a reload makes another ShownVersion

import { Refused } from "./api.js";
import { countUnsaved, notice } from "./header.js";

export class ShownVersion {
  name = "";
  version = 0; // the sample's on the server
  map = 0; // counts the label maps shown
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

  // send(version): promises the new state. painted: it sends the label map shown. newMap: the server makes another one.
  enqueue(shown, send, { painted = false, newMap = false } = {}) {
    const { number, map } = shown;
    this.count(number, 1);
    this.last = this.last.then(async () => {
      try {
        await shown.ready;
        if (shown.replaced || (painted && map !== shown.map)) return void (await this.lose(shown));
        const state = await send(shown.version);
        shown.version = state.version;
        if (newMap) shown.map += 1; // strokes until the new map is shown are on the old one
        this.hear(state);
        await this.saved(shown, state, newMap);
      } catch (error) {
        await this.failed(shown, error);
      } finally {
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
    notice(`${shown.replaced || "The mask changed in the meantime."} ${lost} not saved.`);
    if (shown.replaced) await this.wrong(shown);
  }
}
