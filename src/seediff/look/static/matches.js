// Which samples match the filters, in which order, and how many another choice would show.

import { all } from "./samples.js";
import { set } from "./set.js";

const BARS = 20;

const statesOf = ({ verdict, corrected }) => [verdict || "unreviewed", ...(corrected ? ["corrected"] : [])];
const kindsOf = ({ flags }) => (flags.length ? [...new Set(flags.map((flag) => flag.split(":")[0]))] : ["none"]);

function barsOf(values) {
  const bars = Array(BARS).fill(0);
  for (const value of values) if (!Number.isNaN(value)) bars[Math.max(0, Math.min(BARS - 1, Math.floor(value * BARS)))] += 1;
  return bars;
}

export function select({ classes, flags, states, text, bounds, sort, descending }) {
  const names = classes.map((id) => set.classes[id - 1]);
  const values = {
    area: ({ area }) => (names.length ? names : Object.keys(area)).reduce((sum, name) => sum + (area[name] || 0), 0),
  };
  for (const { name, sure } of set.scores) values[name] = (sample) => (sample.corrected ? sure : sample[name] ?? NaN); // as in `filter`
  const groups = { states: [states, statesOf], classes: [classes, (sample) => sample.classes], flags: [flags, kindsOf] };
  const tests = {};
  const wanted = text.toLowerCase();
  if (wanted) tests.text = (sample) => sample.text.toLowerCase().includes(wanted);
  for (const [name, [chosen, of]] of Object.entries(groups)) {
    if (chosen.length) tests[name] = (sample) => of(sample).some((value) => chosen.includes(value));
  }
  for (const [name, [low, high]] of Object.entries(bounds)) {
    tests[name] = (sample) => values[name](sample) >= low - 1e-6 && values[name](sample) <= high + 1e-6;
  }
  const match = (but) => {
    const others = Object.keys(tests).filter((name) => name !== but).map((name) => tests[name]);
    return all.filter((sample) => others.every((fits) => fits(sample)));
  };
  const counts = { states: {}, classes: {}, flags: {} };
  for (const [name, [, of]] of Object.entries(groups)) {
    for (const sample of match(name)) for (const value of of(sample)) counts[name][value] = (counts[name][value] || 0) + 1;
  }
  const histograms = Object.fromEntries(Object.keys(values).map((name) => [name, barsOf(match(name).map(values[name]))]));
  const keys = { order: ({ index }) => index, flags: ({ flags: of }) => of.length, ...values };
  const sign = descending ? -1 : 1;
  const ranked = match().map((sample) => [keys[sort](sample), sample]);
  const done = ({ verdict }) => sort === "doubt" && Boolean(verdict); // what nobody has judged comes first
  ranked.sort(([a, one], [b, other]) => done(one) - done(other) || Number.isNaN(a) - Number.isNaN(b) || sign * (a - b));
  return { samples: ranked.map(([, sample]) => sample), counts, histograms };
}
