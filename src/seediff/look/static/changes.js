// Changes of samples, sent one at a time, each on the version that the change before it made. Both views send them.
//
//   open, reload ──> ShownVersion: version 4
//                      ├─ a change was saved ───────> version 5
//                      └─ someone else was faster ──> replaced: later changes made on it are lost, and
//                                                     a reload makes another ShownVersion
//
// After an undo, redo or relabel, the server has another label map: nobody can paint until it is shown.

import { LOST, Refused } from "./api.js";
import { $, counted, notice } from "./page.js";

const AGAIN = 1500; // milliseconds after which a change is sent again

export class ShownVersion {
  name = "";
  version = 0; // of the sample, on the server
  newMaps = 0; // label maps made by the server that are not shown yet
  replaced = ""; // says that someone else replaced it; empty while it is the newest
  lost = 0; // changes that were not saved

  // number: the sample's; undefined if it is not loaded. found: promises { name, version }.
  constructor(number, found) {
    this.number = number;
    this.ready = found.then(({ name, version }) => Object.assign(this, { name, version }));
    this.ready.catch(() => {}); // whoever awaits it reports the error
  }

  replace(how = `Someone else changed ${this.name}; their version was kept.`) { this.replaced ||= how; }

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
  waiting = 0; // all of them
  offline = false; // whether the server did not respond to the last one
  failing = false; // whether the last one was refused
  made = null; // what was changed last here: { number, name } of a sample, or { job }, a promise of the name of a
  // job; null if it was undone

  // hear(state): shows it in the grid. In the view of the sample, saved(shown, state, newMap) shows a saved change, and
  // wrong(shown) what the server has instead.
  constructor({ hear, saved, wrong }) { Object.assign(this, { hear, saved, wrong }); }

  pendingOf(number) { return this.pending.get(number) || 0; }

  // Send a change after all earlier ones. send(about): promises the new state. about: { version }, the version that it
  // is made on. newMap: the server makes another map.
  // made: what `made` becomes.
  enqueue(shown, send, { newMap = false, made = null } = {}) {
    this.made = made;
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
      const { version } = shown;
      const state = await this.persist(() => send({ version }), version);
      shown.version = state.version;
      this.hear(state);
      await this.saved(shown, state, newMap);
    } catch (error) {
      await this.failed(shown, error);
    } finally {
      this.count(shown.number, -1);
    }
  }

  // Do work(), again and again while the server does not respond. version: that it is made on. If an answer was lost, the
  // change is there when it is sent again.
  async persist(work, version) {
    let again = false;
    for (;;) {
      try {
        const done = await work();
        if (this.offline) notice("");
        this.offline = this.failing = false;
        return done;
      } catch (error) {
        if (again && error.answer?.version === version + 1) return error.answer;
        if (error.status !== 0) throw error;
        again = true;
        notice(`Not saved. ${LOST}`);
        this.offline = true;
        this.say();
        await new Promise((done) => { setTimeout(done, AGAIN); });
      }
    }
  }

  count(number, by) {
    this.pending.set(number, this.pendingOf(number) + by);
    this.waiting += by;
    this.say();
  }

  // Say whether all is saved.
  say() {
    let text = this.failing ? "Not saved" : "Saved";
    if (this.waiting) text = "Saving …";
    if (this.waiting && this.offline) text = `${counted(this.waiting, "change")} not saved`;
    $("saving").textContent = text;
  }

  async failed(shown, error) {
    if (!(error instanceof Refused)) throw error;
    if (error.status === 409) {
      this.hear(error.answer);
      shown.replace();
      await this.lose(shown);
    } else {
      notice(`Not saved: ${error.message}`);
      this.offline = false;
      this.failing = true;
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
