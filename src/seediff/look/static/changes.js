// Changes of samples, sent one after another, and their undo. Both views make them.
//
//   make ──> queue: one on its way, and those that wait ──> saved: `undo` can restore the version before
//                                              └── someone else was faster: it is lost, and the page says so

import { LOST, Refused, act } from "./api.js";
import { $, counted, disable, hint, notice } from "./page.js";
import { set } from "./set.js";

const AGAIN = 1500;

export class Changes {
  queue = []; // the first one is on its way
  last = Promise.resolve(); // fulfilled when all is saved
  done = []; // what undo takes back: { number, name, before, after }, versions of a sample; or { items } of many
  undone = [];
  own = new Map(); // sample's number → version that this page made last
  offline = false;
  failing = false;

  // hear(state): shows it in the grid. In the view of the sample, saved(change, state) shows a saved change, and
  // wrong(change) what the server has instead.
  constructor({ hear, saved, wrong }) { Object.assign(this, { hear, saved, wrong }); }

  // Send a change after all earlier ones. number, name: the sample's. base: { version }, what the change is made on.
  // send({ version }): promises the new state. newMap: the server makes another label map. stroke: it sends the whole
  // label map, so of those that wait only the last is sent.
  make(change) {
    const { number, name, restores } = change;
    const waiting = this.queue.length > 1 && this.queue.at(-1);
    if (change.stroke && waiting.stroke && waiting.number === number) this.drop(this.queue.pop());
    if (!restores) this.add(change.entry = { number, name });
    this.queue.push(change);
    if (this.queue.length === 1) this.last = this.work();
    this.say();
    return change;
  }

  add(entry) {
    this.done.push(entry);
    this.undone = [];
    $("job-undo").hidden = true; // it is for the last change
  }

  // Forget a change that changed nothing.
  drop({ entry, restores }) {
    for (const list of ["done", "undone"]) this[list] = this[list].filter((one) => one !== entry && one !== restores);
  }

  // What undo, or redo, is about; undefined if there is nothing.
  take(redo) {
    const [from, to] = redo ? [this.undone, this.done] : [this.done, this.undone];
    const entry = from.pop();
    if (entry) to.push(entry);
    return entry;
  }

  // Undo or redo the change of a sample that `take` returned.
  restore(entry, redo, base) {
    const { number, name } = entry;
    const send = () => act(number, { // now that it is saved
      action: redo ? "redo" : "undo", to: { [number]: redo ? entry.after : entry.before }, version: this.own.get(number),
    });
    return this.make({ number, name, base, send, newMap: true, restores: entry });
  }

  // Whether the server makes another label map of a sample, which nobody can paint on until it is shown.
  makesMap(number) { return this.queue.some((change) => change.newMap && change.number === number); }

  async work() {
    while (this.queue.length) {
      await this.change(this.queue[0]);
      this.queue.shift();
      this.say();
    }
  }

  async change(change) {
    const { base, entry, number } = change;
    const { version } = base;
    try {
      const state = await this.persist(() => change.send({ version }), version);
      if (state.version === version) {
        this.drop(change);
        hint("That changed nothing.");
      } else this.remember(entry, number, version, state.version);
      this.hear(state);
      base.version = state.version;
      await this.saved(change, state);
    } catch (error) {
      if (!(error instanceof Refused)) throw error;
      this.drop(change);
      change.failed = change.newMap = true;
      if (error.status === 409) {
        this.hear(error.answer);
        base.lost = (base.lost || 0) + 1;
        const lost = base.lost === 1 ? "1 of your changes was" : `${base.lost} of your changes were`;
        notice(`Someone else changed ${change.name}; their version was kept. ${lost} not saved.`);
      } else {
        this.failing = true;
        notice(`Not saved: ${error.message}`);
      }
      await this.wrong(change);
    }
  }

  // Keep what a change did. Earlier ones cannot be undone if someone else changed the sample after them.
  remember(entry, number, before, after) {
    const own = this.own.get(number) ?? before;
    if (own !== before) this.done = this.done.filter((one) => one === entry || one.number !== number);
    if (entry) Object.assign(entry, { before, after });
    this.own.set(number, after);
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
        this.offline = error.status === 0;
        if (!this.offline) throw error;
        again = true;
        notice(`Not saved. ${LOST}`);
        this.say();
        await new Promise((done) => { setTimeout(done, AGAIN); });
      }
    }
  }

  say() {
    const { length } = this.queue;
    let text = this.failing ? "Not saved" : "Saved";
    if (length) text = this.offline ? `${counted(length, "change")} not saved` : "Saving …";
    $("saving").textContent = text;
    disable($("undo"), set.readOnly || (!this.done.length && "Nothing to undo"));
    disable($("redo"), set.readOnly || (!this.undone.length && "Nothing to redo"));
  }
}
