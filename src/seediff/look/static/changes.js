// Changes of samples, sent one after another, and their undo. Where someone else was faster, a change is lost.

import { LOST, Refused, act } from "./api.js";
import { $, counted, disable, endUndo, hint, notice } from "./page.js";
import { set } from "./set.js";

const AGAIN = 1500;

export class Changes {
  queue = [];
  last = Promise.resolve();
  done = []; // what undo takes back: { number, name, before, after }, versions of a sample; or { items } of many
  undone = [];
  own = new Map(); // sample's number → version that this page made last
  offline = false;
  failing = false;

  // update(state) shows it in the grid; saved(change, state) and wrong(change) show in the sample's view what is saved.
  constructor({ update, saved, wrong }) { Object.assign(this, { update, saved, wrong }); }

  // number, name: the sample's. base: { version }, what the change is made on. send({ version }) promises the new state.
  // newMap: the server makes another label map. verdict: it gives one, perhaps the same. stroke: it sends the whole map,
  // so of those that wait only the last is sent.
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
    endUndo();
  }

  drop({ entry, restores }) {
    for (const list of ["done", "undone"]) this[list] = this[list].filter((one) => one !== entry && one !== restores);
  }

  take(redo) {
    const [from, to] = redo ? [this.undone, this.done] : [this.done, this.undone];
    const entry = from.pop();
    endUndo();
    if (entry) to.push(entry);
    return entry;
  }

  restore(entry, redo, base) {
    const { number, name } = entry;
    const send = () => act(number, { // now that it is saved
      action: redo ? "redo" : "undo", to: { [number]: redo ? entry.after : entry.before }, version: this.own.get(number),
    });
    return this.make({ number, name, base, send, newMap: true, restores: entry });
  }

  // Nobody can paint on a sample until a label map that the server makes is shown.
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
        const last = this.done.at(-1);
        if (!change.verdict) hint("That changed nothing.", { over: () => this.done.at(-1) !== last });
      } else this.remember(entry, number, version, state.version);
      this.update(state);
      base.version = state.version;
      await this.saved(change, state);
    } catch (error) {
      if (!(error instanceof Refused)) throw error;
      this.drop(change);
      change.failed = change.newMap = true;
      if (error.status === 409) {
        this.update(error.answer);
        notice(`Someone else changed ${change.name}; their version was kept, yours was not saved.`);
      } else {
        this.failing = true;
        notice(`Not saved: ${error.message}`);
      }
      await this.wrong(change);
    }
  }

  // Earlier changes cannot be undone if someone else changed the sample after them.
  remember(entry, number, before, after) {
    const own = this.own.get(number) ?? before;
    if (own !== before) this.done = this.done.filter((one) => one === entry || one.number !== number);
    if (entry) Object.assign(entry, { before, after });
    this.own.set(number, after);
  }

  // Do work() until the server responds. If an answer was lost, the change is there when it is sent again.
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
