// Changes on their way to the server, one at a time. Once someone else has changed the sample, those that wait are not sent.

import { Refused } from "./api.js";

const lost = (count) => (count === 1 ? "1 of your changes was not saved." : `${count} of your changes were not saved.`);

// What changes of a sample are based on. version: the sample's. map: counts the label maps shown, as an undo brings another.
export class Base {
  // number: none from the grid. found: a promise of what the server has: { name, version }.
  constructor(number, found) {
    Object.assign(this, { number, name: "", version: 0, map: 0, gone: false, why: "The mask changed in the meantime.", lost: 0 });
    this.ready = found.then(({ name, version }) => Object.assign(this, { name, version }));
    this.ready.catch(() => {}); // who waits for it hears of it
  }

  // Someone else acted: nothing can follow any more.
  leave(why) { if (!this.gone) Object.assign(this, { gone: true, why }); }
}

export class Changes {
  // page: { pending(by), hear(state), notice(text) }. saved(base, state, redrawn), wrong(base): what is shown is to follow; a promise.
  constructor(page, { saved, wrong }) {
    Object.assign(this, { page, saved, wrong, last: Promise.resolve(), waiting: new Map() });
  }

  // Whether changes of a sample are on their way.
  of(number) { return this.waiting.get(number) || 0; }

  // send(version): a promise of the sample's new state. painted: it is the label map shown. redrawn: it makes one that only the server
  // knows.
  enqueue(base, send, { painted = false, redrawn = false } = {}) {
    const { number, map } = base;
    this.waiting.set(number, this.of(number) + 1);
    this.page.pending(1);
    this.last = this.last.then(async () => {
      try {
        await base.ready;
        if (base.gone || (painted && map !== base.map)) return void (await this.lose(base));
        const state = await send(base.version);
        base.version = state.version;
        if (redrawn) base.map += 1; // what is painted until the new one is shown is on the old one
        this.page.hear(state);
        await this.saved(base, state, redrawn);
      } catch (error) {
        if (!(error instanceof Refused)) throw error;
        if (error.status === 409) {
          this.page.hear(error.answer);
          base.leave(`Someone else changed ${base.name}; their version was kept.`);
          await this.lose(base);
        } else {
          this.page.notice(`Not saved: ${error.message}`);
          if (error.status) await this.wrong(base);
        }
      } finally {
        this.waiting.set(number, this.of(number) - 1);
        if (!this.of(number)) this.waiting.delete(number);
        this.page.pending(-1);
      }
    });
    return this.last;
  }

  async lose(base) {
    base.lost += 1;
    this.page.notice(`${base.why} ${lost(base.lost)}`);
    if (base.gone) await this.wrong(base);
  }
}
