// The view, derived from the state and the data: the one place where choices meet what there is.

import { CHUNK, id } from "./data.js";
import { chosen } from "./colours.js";
import { className } from "./format.js";

/** So many analyzers are shown until the user has chosen. */
const AT_FIRST = 3;

/** Samples are written under a tag that ends so. */
export const isSamples = (tag) => tag.split("/").at(-1) === "samples";

/** The columns to begin with: analyzers of the first run that has any. */
export function firstColumns(runs) {
  for (const [run, tags] of Object.entries(runs ?? {})) {
    const analyzers = Object.keys(tags).filter((tag) => !isSamples(tag));
    if (analyzers.length) return analyzers.slice(0, AT_FIRST).map((tag) => [run, tag]);
  }
  return null;
}

/** Everything that drawing needs, derived anew for every drawing. */
export function derive(state, data, dark) {
  const columns = state.columns ?? firstColumns(data.runs) ?? [];
  const all = [...new Set(columns.flatMap((column) => data.steps(column).value?.steps ?? []))].sort((a, b) => a - b);
  const position = state.step === null ? all.length - 1 : Math.max(0, all.findLastIndex((step) => step <= state.step));
  const step = all[position] ?? null;
  const sections = new Map();
  for (const column of columns) {
    for (const section of data.about(column).value?.sections ?? []) {
      if (section.kind !== "audit" && !sections.has(section.name)) sections.set(section.name, section);
    }
  }
  const section = sections.get(state.section) ?? sections.values().next().value ?? null;
  const counts = columns.map((column) => (section && data.section(column, section.name)?.count) || 0);
  return {
    state,
    data,
    columns,
    steps: all,
    position,
    step,
    sections: [...sections.values()],
    section,
    count: Math.max(0, ...counts),
    map: chosen(state.map, dark),
    dark,
    views: state.show.split(","),
    waiting: columns.some((column) => isUnderWay(data, column)), // also set by whoever draws and lacks data
    shown: [0, 0], // samples on screen
  };
}

/** Whether it is not known yet what a column, or what it explains, is. */
function isUnderWay(data, column) {
  const isPending = ({ value, error }) => !value && !error;
  const samples = data.samplesOf(column);
  return isPending(data.about(column)) || (samples !== null && isPending(data.about(samples)));
}

/** The value with the full colour in one image. */
export function limitOf(view, one) {
  const { range, held, gain } = view.state;
  const whole = range === "held" ? held : range === "shared" ? one.limit ?? one.facts.largest : one.facts.largest;
  return whole / gain;
}

/** The relevance of a sample in a column: {one}, {error}, or {} while it is under way. */
export function relevanceOf(view, column, sample, side = 256) {
  const at = view.data.stepAt(column, view.step);
  const failure = view.data.steps(column).error ?? view.data.about(column).error;
  if (failure) return { error: failure };
  if (!view.data.about(column).value) return waits(view);
  if (at === null) return { error: "nothing yet at this step" };
  if (!view.data.section(column, view.section.name)) return { error: `nothing was logged of “${view.section.name}”` };
  const one = view.data.sample(column, at, view.section.name, sample, side);
  if (!one) return waits(view);
  return one.error ? one : { one };
}

/** The explained input, as `relevanceOf`; the first image where a layer is looked at. {} also if there is none. */
export function inputOf(view, column, sample, side = 256) {
  const samples = view.data.samplesOf(column);
  const sections = samples && view.data.about(samples).value?.sections;
  if (!sections) return {};
  const section =
    sections.find(({ name }) => name === view.section.name) ?? sections.find(({ kind }) => kind === "image");
  if (!section || sample >= section.count) return {};
  const steps = view.data.steps(samples).value.steps;
  const at = view.data.stepAt(samples, view.step) ?? steps[0];
  const one = view.data.sample(samples, at, section.name, sample, side);
  if (!one) return waits(view);
  return one.error ? one : { one };
}

function waits(view) {
  view.waiting = true;
  return {};
}

/** A sample in words; `one` is its relevance in a column, or undefined. */
export function wordsOf(view, column, sample, one) {
  const samples = view.data.samplesOf(column);
  const [own, common] = [view.data.about(column).value, samples && view.data.about(samples).value];
  const names = own?.class_names?.length ? own.class_names : common?.class_names ?? [];
  const target = one?.target ?? own?.target?.[sample] ?? common?.target?.[sample] ?? null;
  const title = own?.titles?.[sample] ?? common?.titles?.[sample] ?? `sample ${sample}`;
  const prediction = one?.prediction ?? null;
  return {
    names,
    title: title || `sample ${sample}`,
    truth: className(target, names),
    explained: className(one?.neuron, names),
    value: one?.explained,
    prediction: className(prediction, names),
    right: target === null || prediction === null ? null : target === prediction,
  };
}

/** The names of the columns of the table, or of the channels of the signal, that is shown; [] where it has none. */
export function featuresOf(view, column) {
  const samples = view.data.samplesOf(column);
  const common = samples && view.data.about(samples).value;
  return common?.features?.[view.section.name] ?? [];
}

/** Asks for the steps around the current one, the next in the direction of movement first. */
export function prefetch(view, direction) {
  const [first, last] = view.shown;
  const starts = [];
  for (let sample = first - (first % CHUNK); sample < last; sample += CHUNK) starts.push(sample);
  for (const distance of [1, 2, 3, 4, 5, 6, -1, -2]) {
    const step = view.steps[view.position + distance * direction];
    if (step === undefined) continue;
    for (const column of view.columns) {
      const at = view.data.stepAt(column, step);
      if (at !== null && view.section && view.data.section(column, view.section.name)) {
        view.data.prefetch(column, at, view.section.name, starts);
      }
    }
  }
}

/** The name that tells a column from the others: its analyzer, its run, or both. */
export function columnName(view, [run, tag]) {
  const [runs, tags] = [0, 1].map((i) => new Set(view.columns.map((column) => column[i])).size);
  if (runs === 1) return tag;
  return tags === 1 ? run : `${run}: ${tag}`;
}

/** Whether a column explains other samples than the first does. */
export function isOfOthers(view, column) {
  const [first, own] = [view.columns[0], column].map((each) => {
    const samples = view.data.samplesOf(each);
    const told = samples && view.data.about(samples).value;
    return told ? JSON.stringify([told.titles, told.sections.map(({ count }) => count)]) : null;
  });
  return first !== null && own !== null && first !== own;
}

export const sameColumn = (a, b) => id(a) === id(b);
