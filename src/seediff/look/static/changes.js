// Changes of samples, sent one at a time, each on the version that the change before it made. Both views send them.
//
//   open, reload ──> ShownVersion: version 4
//                      ├─ a change was saved ───────> version 5
//                      └─ someone else was faster ──> replaced: later changes made on it are lost, and
//                                                     a reload makes another ShownVersion
//
// After an undo, redo or relabel, the server has another label map: nobody can paint until it is shown.

import { Refused } from "./api.js";
import { countUnsaved, notice } from "./page.js";

export class ShownVersion {
  name = "";
  version = 0; // of the sample, on the server
  newMaps = 0; // label maps made by the server that are not shown yet
  replaced = ""; // says that someone else replaced it; empty while it is the newest
  lost = 0; // changes that were not saved

  // number: the sample's; undefined in the grid. found: promises { name, version }.
  constructor(number, found) {
    this.number = number;
    this.ready = found.then(({ name, version }) => Object.assign(this, { name, version }));
    this.ready.catch(() => {}); // whoever awaits it reports the error
  }

  replace(how) { this.replaced ||= how; }

  // Let nobody paint while work() makes and shows another label map. Two of them may overlap, so they are counted.
  async whileNewMap(work) {
    this.newMaps += 1;
    await work();
    this.newMaps -= 1; // no finally: after a failure nobody may paint
  }
}

export class Changes {
  last = Promise.resolve(); // fulfilled after the last change
  pending = new Map(); // sample's number → changes that are not saved yet

  // hear(state): shows it in the grid. In the view of the sample, saved(shown, state, newMap) shows a saved change, and
  // wrong(shown) what the server has instead.
  constructor({ hear, saved, wrong }) { Object.assign(this, { hear, saved, wrong }); }

  pendingOf(number) { return this.pending.get(number) || 0; }

  // Send a change after all earlier ones. send(version): promises the new state. newMap: the server makes another map.
  enqueue(shown, send, { newMap = false } = {}) {
    const work = () => {
      this.last = this.last.then(() => this.change(shown, send, newMap));
      return this.last;
    };
    this.count(shown.number, 1);
    if (newMap) shown.whileNewMap(work);
    else work();
  }

  async change(shown, send, newMap) {
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
      this.count(shown.number, -1);
    }
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

  // Say that a change was not saved, because its map is no longer the newest.
  async lose(shown) {
    shown.lost += 1;
    const lost = shown.lost === 1 ? "1 of your changes was" : `${shown.lost} of your changes were`;
    notice(`${shown.replaced} ${lost} not saved.`);
    await this.wrong(shown);
  }
}
