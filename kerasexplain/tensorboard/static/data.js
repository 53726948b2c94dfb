// The logged data, as far as it is known here. Everything is asked for when it is looked at and not there yet:
// the functions answer at once, with undefined while a request is under way, and the page is drawn again after it.

import { Failure, frame, json } from "./api.js";

/** Arrays are cached up to so many bytes. */
const CACHE_BYTES = 256 * 2 ** 20;
/** Requests for arrays at the same time: what is looked at, and what probably will be, which must not be in its way. */
const AT_ONCE = 5;
const AHEAD_AT_ONCE = 3;
/** Samples per request. */
export const CHUNK = 16;

export const id = ([run, tag]) => JSON.stringify([run, tag]);

export class Data {
  constructor(changed) {
    this.changed = changed;
    this.runs = null; // by run and tag, {step, time}
    this.error = null;
    this.told = new Map(); // answers in JSON: {version, value, error, pending}
    this.frames = new Map(); // in the order of their last use
    this.bytes = 0;
    this.wanted = [];
    this.underWay = new Set();
  }

  /** Looks whether there is something new. */
  async refresh() {
    try {
      const runs = await json("runs");
      if (JSON.stringify(runs) !== JSON.stringify(this.runs)) this.runs = runs;
      this.error = null;
    } catch (error) {
      if (!(error instanceof Failure)) throw error;
      this.error = error.message;
    }
    for (const [key, entry] of this.told) if (entry.error) this.told.delete(key);
    for (const [key, entry] of this.frames) if (entry.error) this.frames.delete(key);
    this.changed();
  }

  #json(key, version, route, query) {
    let entry = this.told.get(key);
    if (!entry) this.told.set(key, (entry = {}));
    if (entry.version !== version && !entry.pending) {
      entry.pending = true;
      json(route, query)
        .then((value) => Object.assign(entry, { value, error: null }))
        .catch((error) => Object.assign(entry, { error: error.message }))
        .finally(() => {
          Object.assign(entry, { pending: false, version });
          this.changed();
        });
    }
    return entry;
  }

  #newest([run, tag]) {
    const at = this.runs?.[run]?.[tag];
    return at ? `${at.step} ${at.time}` : "gone";
  }

  /** The steps of a column: {value: {steps, times, written}, error}. */
  steps(column) {
    const [run, tag] = column;
    return this.#json(`steps ${id(column)}`, this.#newest(column), "steps", { run, tag });
  }

  /** The description of a column at its last step: {value: {sections, ...}, error}. */
  about(column) {
    const { value, error } = this.steps(column);
    if (!value) return { error };
    const [run, tag] = column;
    const step = value.steps.at(-1);
    return this.#json(`about ${id(column)}`, `${step} ${value.times.at(-1)}`, "about", { run, tag, step });
  }

  /** The explained and predicted outputs at every step: {value: {steps, neuron, explained, prediction, target}, error}. */
  history(column, sample) {
    const [run, tag] = column;
    return this.#json(`history ${id(column)} ${sample}`, this.#newest(column), "history", { run, tag, sample });
  }

  /** The column of what an analyzer explained; null if that is missing. */
  samplesOf(column) {
    const tag = this.about(column).value?.samples;
    return tag && this.runs?.[column[0]]?.[tag] ? [column[0], tag] : null;
  }

  /** The step of a column that is shown at a step of the slider: the last that is not later; null if there is none. */
  stepAt(column, step) {
    const steps = this.steps(column).value?.steps ?? [];
    let [low, high] = [0, steps.length];
    while (low < high) {
      const middle = (low + high) >> 1;
      if (steps[middle] <= step) low = middle + 1;
      else high = middle;
    }
    return low ? steps[low - 1] : null;
  }

  /** One sample: {plane, facts, ...}, {error}, or undefined. `side` bounds its height and width; 0 is as logged. */
  sample(column, step, section, sample, side = 0) {
    const alone = side === 0 && this.#isLarge(column, section);
    const first = alone ? sample : sample - (sample % CHUNK);
    const samples = Array.from({ length: alone ? 1 : CHUNK }, (_, i) => first + i);
    const got = this.#frame(column, step, section, samples, alone ? 0 : this.#side(column, section, side));
    if (!got || got.error) return got;
    const i = got.samples.indexOf(sample);
    if (i < 0) return { error: `there is no sample ${sample} at step ${step}` };
    const one = { key: `${got.key} ${i}`, plane: got.planes[i], facts: got.facts[i], step };
    for (const name of ["neuron", "explained", "prediction", "target", "titles", "tokens"]) one[name] = got[name][i];
    return { ...one, shape: got.shape, of: got.of, kind: got.kind, limit: got.limit };
  }

  /** Asks for what will probably be looked at next, after all that is looked at now. */
  prefetch(column, step, section, samples, side) {
    for (const sample of samples) if (sample % CHUNK === 0) this.sample(column, step, section, sample, side);
  }

  section(column, name) {
    return this.about(column).value?.sections.find((section) => section.name === name);
  }

  #isLarge(column, name) {
    const shape = this.section(column, name)?.shape ?? [];
    return Math.max(0, ...shape.slice(0, 2)) > 256;
  }

  #side(column, name, side) {
    return this.#isLarge(column, name) ? side || 256 : 0;
  }

  #frame(column, step, section, samples, side) {
    const known = this.steps(column).value;
    const time = known?.times[known.steps.indexOf(step)];
    const key = JSON.stringify([column, step, time, section, side, samples[0], samples.length]);
    const entry = this.frames.get(key);
    if (entry) {
      this.frames.delete(key);
      this.frames.set(key, entry);
      return entry;
    }
    const [run, tag] = column;
    const query = { run, tag, step, section, side, samples: samples.join(",") };
    if (!this.wanted.some((want) => want.key === key)) this.wanted.push({ key, query });
    return undefined;
  }

  /** Before a drawing: forgets what was wanted but not yet asked for. */
  begin() {
    this.wanted = [];
  }

  /** After a drawing: asks for what it lacked, the first wanted first; `ahead` if it is not looked at yet. */
  ask(ahead = false) {
    for (const { key, query } of this.wanted) {
      if (this.underWay.size >= (ahead ? AHEAD_AT_ONCE : AT_ONCE)) return;
      if (this.underWay.has(key) || this.frames.has(key)) continue;
      this.underWay.add(key);
      frame(query)
        .catch((error) => ({ error: error.message, bytes: 0 }))
        .then((got) => {
          this.underWay.delete(key);
          this.frames.set(key, { ...got, key });
          this.bytes += got.bytes;
          this.#forget();
          this.changed();
        });
    }
  }

  #forget() {
    for (const [key, entry] of this.frames) {
      if (this.bytes <= CACHE_BYTES || this.frames.size === 1) return;
      this.frames.delete(key);
      this.bytes -= entry.bytes;
    }
  }
}
